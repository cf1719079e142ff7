// What can be chosen, in the order in which it is offered: shapes, platforms, caption styles, formats and their codecs.

export const ASPECTS = [["9:16", "9:16 · Shorts, Reels, TikTok"], ["16:9", "16:9 · YouTube"], ["1:1", "1:1 · square"], ["4:5", "4:5 · feed"]];

export const PLATFORMS = [["youtube_shorts", "YouTube Shorts"], ["tiktok", "TikTok"], ["reels", "Instagram Reels"], ["youtube", "YouTube"]];

export const CAPTION_STYLES = ["highlight", "boxed", "pill", "clean"];

/** Each format with the codecs that it can have, the usual one first; sound alone and GIFs have none to choose. */
export const CODECS = { mp4: ["h264", "hevc"], webm: ["vp9", "av1"], gif: [], mov: ["h264", "hevc"], m4a: [], mp3: [] };

/** A platform's own name. */
export function platformTitle(name) {
  return PLATFORMS.find(([known]) => known === name)?.[1] ?? name;
}

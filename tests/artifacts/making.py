"""A process of a node that does one part of a video; what goes from part to part is what it prints, and no file."""

from __future__ import annotations

import sys

from pydantic_core import from_json, to_json

from ytray.studio.model import Scene, SceneMedia
from ytray.studio.render.parts import split
from ytray.studio.render.timeline import Look, timeline_of
from ytray.tasks.media import compose_final_video, generate_audio_tts, generate_image_imagen, render_scene
from ytray.tasks.processing import generate_thumbnail


def main() -> None:
    """`render` a scene's media and their part of the video, or `compose` them; reads and prints JSON."""
    given = from_json(sys.stdin.read())
    made: dict[str, object]
    if sys.argv[1] == "render":
        scene = Scene.model_validate(given)
        picture, speech = generate_image_imagen(scene, "cats"), generate_audio_tts(scene.narration)
        media = SceneMedia(picture=picture.uri, speech=speech)
        parts = [render_scene(one.timeline, one.part) for one in split(timeline_of([media], Look()))]
        made = {"media": media, "parts": parts}
    else:
        video = compose_final_video([SceneMedia.model_validate(given)])
        made = {"video": video, "thumbnail": generate_thumbnail(video.uri, "Cats").landscape}
    print(to_json(made).decode())


if __name__ == "__main__":
    main()

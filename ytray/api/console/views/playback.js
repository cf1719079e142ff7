// The player, as plots and scenes see it: where it is, and how to go elsewhere. Without a video nothing plays.

export class Playback {
  #player;
  #listeners = new Set();

  /** `player` is a video element, or null. */
  constructor(player) {
    this.#player = player;
    if (!player) return;
    for (const event of ["timeupdate", "seeking", "loadedmetadata"]) player.addEventListener(event, () => this.#tell());
    const frame = () => {
      if (player.paused || !player.isConnected) return;
      this.#tell();
      requestAnimationFrame(frame);
    };
    player.addEventListener("play", frame); // `timeupdate` alone comes four times a second
  }

  get canSeek() {
    return this.#player !== null;
  }

  /** Go to a second; what plays goes on there. A hundredth later than a cut, so that its first frame is shown. */
  seek(seconds) {
    if (this.#player) this.#player.currentTime = seconds + 0.01;
  }

  /** Call `listener(seconds)` now, and whenever the player moves. */
  follow(listener) {
    if (!this.#player) return;
    this.#listeners.add(listener);
    listener(this.#player.currentTime);
  }

  #tell() {
    for (const listener of this.#listeners) listener(this.#player.currentTime);
  }
}

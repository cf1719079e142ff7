// How things are written: times, durations, sizes, money.

/** "12 s ago", for a time given in RFC 3339. */
export function ago(at) {
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  if (seconds < -1) return `in ${-seconds < 60 ? `${Math.round(-seconds)} s` : span(-seconds)}`;
  return seconds < 1 ? "now" : `${seconds < 60 ? `${Math.floor(seconds)} s` : span(seconds)} ago`;
}

/** "3 min 20 s", for seconds. */
export function span(seconds) {
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  seconds = Math.round(seconds);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

/** "about 12 min, between 9 and 16", as the parts before and after the comma; of less than ten with a decimal. */
export function expected({ seconds, low_seconds, high_seconds }) {
  const [unit, size] = [["s", 1, 100], ["min", 60, 6000], ["h", 3600, 172_800]].find(([, , most]) => seconds < most) ?? ["days", 86_400];
  const [likely, low, high] = [seconds, low_seconds, high_seconds].map((number) => number / size);
  const digits = size > 1 && likely < 10 ? 1 : 0;
  return [`about ${likely.toFixed(digits)} ${unit}`, `between ${low.toFixed(digits)} and ${high.toFixed(digits)}`];
}

/** Seconds between two times in RFC 3339; until now where the second is missing. */
export function between(from, to) {
  return ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000;
}

/** "1.2 MB". */
export function bytes(number) {
  const units = ["B", "KB", "MB", "GB"];
  let place = 0;
  while (number >= 1000 && place < 3) {
    number /= 1000;
    place += 1;
  }
  return `${place && number < 10 ? number.toFixed(1) : Math.round(number)} ${units[place]}`;
}

/** "$0.0123", "$1,234.50": four digits below a dollar, where most calls are. */
export function dollars(number) {
  const digits = number && Math.abs(number) < 1 ? 4 : 2;
  return `$${number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** "$0.067": a price, with as many digits as it has. */
export function price(number) {
  return `$${number.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 6 })}`;
}

/** "12,345". */
export function count(number) {
  return number.toLocaleString("en");
}

/** An error of a job without what the flows around it say: the step's own. */
export function innermost(error) {
  return error.split(/JobFailed: job \S+ failed after \d+ retries: /).at(-1);
}

/** The local date and time, in full. */
export function moment(at) {
  return new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

/** The local time of day. */
export function clockTime(at) {
  return new Date(at).toLocaleTimeString();
}

/** A job's id, short enough for a table; ids of steps end in what tells them apart. */
export function shortId(id) {
  const step = id.indexOf(".");
  return step > 0 ? `…${id.slice(step, step + 9)}` : id.length > 14 ? `${id.slice(0, 12)}…` : id;
}

/** "1:05", for a second of a video. */
export function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

/** "−14.0", with a minus sign as wide as the digits. */
export function signed(number, digits) {
  return number.toFixed(digits).replace("-", "−");
}

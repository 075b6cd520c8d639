/**
 * Time windows.
 * @module windows
 */
import { roundTo } from './units.js';

/**
 * A period between two dates. The end does not belong to it.
 */
export class TimeWindow {
  /**
   * @param {Date} start - First moment.
   * @param {Date} end - First moment after the window.
   */
  constructor(start, end) {
    if (end <= start) {
      throw new RangeError('a window ends after its start');
    }
    this.start = start;
    this.end = end;
  }

  /**
   * Length of the window.
   *
   * @returns {number} Hours with two decimals.
   */
  get hours() {
    return roundTo((this.end - this.start) / 3600000);
  }

  /**
   * Tells whether two windows share a moment.
   *
   * @param {TimeWindow} other - The other window.
   * @returns {boolean} True when they overlap.
   */
  overlaps(other) {
    return this.start < other.end && other.start < this.end;
  }

  /**
   * Makes a window from a start and a length.
   *
   * @param {Date} start - First moment.
   * @param {number} hours - Length in hours.
   * @returns {TimeWindow} The window.
   */
  static ofHours(start, hours) {
    return new TimeWindow(start, new Date(start.getTime() + hours * 3600000));
  }
}

/**
 * Joins windows that overlap.
 *
 * @param {TimeWindow[]} windows - Windows in any order.
 * @returns {TimeWindow[]} Windows without overlaps, by start.
 */
export function mergeWindows(windows) {
  const merged = [];
  for (const next of [...windows].sort((a, b) => a.start - b.start)) {
    const last = merged[merged.length - 1];
    if (last && last.overlaps(next)) {
      merged[merged.length - 1] = new TimeWindow(last.start, next.end > last.end ? next.end : last.end);
    } else {
      merged.push(next);
    }
  }
  return merged;
}

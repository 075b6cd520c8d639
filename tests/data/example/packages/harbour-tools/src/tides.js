/**
 * Tide curves.
 * @module tides
 */
import { roundTo } from './units.js';
import { TimeWindow, mergeWindows } from './windows.js';

/**
 * A curve through high and low waters.
 */
export class TideCurve {
  #points;

  /**
   * @param {{time: Date, height: number}[]} points - High and low waters.
   */
  constructor(points) {
    this.#points = [...points].sort((a, b) => a.time - b.time);
  }

  /**
   * Height of the water.
   *
   * @param {Date} time - When.
   * @returns {number|undefined} Metres, undefined outside of the curve.
   */
  heightAt(time) {
    const next = this.#points.findIndex((point) => point.time > time);
    if (next < 1) {
      return undefined;
    }
    const [a, b] = [this.#points[next - 1], this.#points[next]];
    const fraction = (time - a.time) / (b.time - a.time);
    return roundTo(a.height + ((b.height - a.height) * (1 - Math.cos(Math.PI * fraction))) / 2);
  }

  /**
   * Windows in which the water is high enough.
   *
   * @param {TimeWindow} within - The window to search.
   * @param {number} height - Needed height in metres.
   * @returns {TimeWindow[]} The windows.
   */
  windowsAbove(within, height) {
    const found = [];
    for (let time = within.start; time < within.end; time = new Date(time.getTime() + 900000)) {
      if (this.heightAt(time) >= height) {
        found.push(TimeWindow.ofHours(time, 0.26));
      }
    }
    return mergeWindows(found);
  }
}

/**
 * Tells whether a range belongs to a spring tide.
 *
 * @param {number} range - Tidal range in metres.
 * @param {number} [limit=4.2] - Range from which a tide counts as spring tide.
 * @returns {boolean} True for a spring tide.
 */
export function isSpring(range, limit = 4.2) {
  return range >= limit;
}

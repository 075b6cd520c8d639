/**
 * Plans of berths.
 * @module planner
 */
import { sailingHours } from './units.js';
import { TimeWindow } from './windows.js';
import { TideCurve } from './tides.js';

export { TimeWindow, TideCurve };

/**
 * A plan of one quay.
 */
export class QuayPlan {
  #stays = [];

  /**
   * @param {number} metres - Length of the quay.
   */
  constructor(metres) {
    this.metres = metres;
  }

  /**
   * Free length of the quay in a window.
   *
   * @param {TimeWindow} window - The window.
   * @returns {number} Metres.
   */
  freeMetres(window) {
    return this.#stays
      .filter((stay) => stay.window.overlaps(window))
      .reduce((free, stay) => free - stay.metres, this.metres);
  }

  /**
   * Adds a stay when there is room.
   *
   * @param {string} vessel - Name of the vessel.
   * @param {number} metres - Length with margin.
   * @param {TimeWindow} window - When it stays.
   * @returns {boolean} False when there is no room.
   */
  addStay(vessel, metres, window) {
    if (this.freeMetres(window) < metres) {
      return false;
    }
    this.#stays.push({ vessel, metres, window });
    return true;
  }
}

/**
 * Expected time of arrival.
 *
 * @param {Date} now - Present time.
 * @param {number} miles - Distance in nautical miles.
 * @param {number} knots - Speed in knots.
 * @returns {Date} Time of arrival.
 */
export function expectedArrival(now, miles, knots) {
  return new Date(now.getTime() + sailingHours(miles, knots) * 3600000);
}

/**
 * First window in which a vessel can pass with its draught.
 *
 * @param {TideCurve} curve - Curve of the station.
 * @param {TimeWindow} within - The window to search.
 * @param {number} missingMetres - Height that is needed above chart datum.
 * @returns {TimeWindow|undefined} The window.
 */
export default function firstPassage(curve, within, missingMetres) {
  return curve.windowsAbove(within, missingMetres)[0];
}

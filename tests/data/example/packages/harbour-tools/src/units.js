/**
 * Units of length and speed.
 * @module units
 */

/** Metres in a nautical mile. */
export const NAUTICAL_MILE = 1852;

/**
 * Converts nautical miles to metres.
 *
 * @param {number} miles - Distance in nautical miles.
 * @returns {number} Distance in metres.
 */
export function milesToMetres(miles) {
  return miles * NAUTICAL_MILE;
}

/**
 * Converts metres to nautical miles.
 *
 * @param {number} metres - Distance in metres.
 * @returns {number} Distance in nautical miles.
 */
export function metresToMiles(metres) {
  return metres / NAUTICAL_MILE;
}

/**
 * Rounds a number to a fixed number of decimals.
 *
 * @param {number} value - The number.
 * @param {number} [decimals=2] - Decimals to keep.
 * @returns {number} The rounded number.
 */
export function roundTo(value, decimals = 2) {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor;
}

/**
 * Hours that a vessel needs for a distance.
 *
 * @param {number} miles - Distance in nautical miles.
 * @param {number} knots - Speed in knots.
 * @returns {number} Hours, Infinity when the vessel stands still.
 */
export const sailingHours = (miles, knots) => (knots > 0 ? roundTo(miles / knots, 3) : Infinity);

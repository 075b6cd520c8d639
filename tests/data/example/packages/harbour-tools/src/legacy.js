'use strict';

var EARTH_RADIUS_MILES = 3440.065;

function toRadians(degrees) {
  return degrees * Math.PI / 180;
}

/**
 * Distance between two positions on the great circle.
 *
 * @param {{lat: number, lon: number}} from - First position in degrees.
 * @param {{lat: number, lon: number}} to - Second position in degrees.
 * @returns {number} Distance in nautical miles.
 */
function greatCircle(from, to) {
  var dLat = toRadians(to.lat - from.lat);
  var dLon = toRadians(to.lon - from.lon);
  var a = Math.pow(Math.sin(dLat / 2), 2) +
    Math.cos(toRadians(from.lat)) * Math.cos(toRadians(to.lat)) * Math.pow(Math.sin(dLon / 2), 2);
  return 2 * EARTH_RADIUS_MILES * Math.asin(Math.sqrt(a));
}

/**
 * Keeps the last values of a sensor.
 *
 * @constructor
 * @param {number} size - Number of values to keep.
 */
function ReadingBuffer(size) {
  this.size = size;
  this.values = [];
}

/**
 * Adds a value and drops the oldest one when the buffer is full.
 *
 * @param {number} value - The value.
 */
ReadingBuffer.prototype.push = function (value) {
  this.values.push(value);
  if (this.values.length > this.size) {
    this.values.shift();
  }
};

/**
 * @returns {number} Mean of the kept values, NaN for an empty buffer.
 */
ReadingBuffer.prototype.mean = function () {
  return this.values.reduce(function (sum, value) { return sum + value; }, 0) / this.values.length;
};

module.exports = { greatCircle: greatCircle, ReadingBuffer: ReadingBuffer };

// formats a position the way the old log books print it
module.exports.formatPosition = function (position) {
  return Math.abs(position.lat).toFixed(2) + (position.lat < 0 ? ' S ' : ' N ') +
    Math.abs(position.lon).toFixed(2) + (position.lon < 0 ? ' W' : ' E');
};

// Ids of a Valkey stream: "<milliseconds>-<sequence>", each up to 64 bits, so compared as BigInt.

/**
 * @param {string} first an event id, or "" for "before everything"
 * @param {string} second likewise
 * @returns {number} below 0, 0 or above 0, as for Array.sort
 */
export function compareEventIds(first, second) {
  const [firstTime, firstSequence] = parts(first);
  const [secondTime, secondSequence] = parts(second);
  if (firstTime !== secondTime) return firstTime < secondTime ? -1 : 1;
  if (firstSequence !== secondSequence) return firstSequence < secondSequence ? -1 : 1;
  return 0;
}

function parts(id) {
  const match = /^(\d+)(?:-(\d+))?$/.exec(id);
  return match ? [BigInt(match[1]), BigInt(match[2] ?? 0)] : [-1n, -1n];
}

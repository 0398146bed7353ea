/**
 * Retries of requests whose answer was lost.
 *
 * A creation or rotation may have been made although its answer did not arrive. With the same idempotency key the
 * service gives the same answer again, so a lost answer neither loses a key nor creates a second one.
 */

import { KeywrightError, Refused, ServiceUnavailable, keepIdempotencyKey } from './errors.js';

/** Seconds before each retry; their number is the number of retries. */
export const PAUSES = [0.2, 1, 3];

// The longest `Retry-After` that is followed, in seconds.
const LONGEST_PAUSE = 10;

/** Call *send* with an idempotency key, again and again with the same one while its answer is lost. */
export async function sendOnce(send, { idempotencyKey = crypto.randomUUID(), pauses, signal }) {
  if (!/^[\x21-\x7e]{22,255}$/.test(idempotencyKey)) {
    throw new KeywrightError('An idempotency key is 22 to 255 printable ASCII characters without spaces.');
  }
  for (const pause of [...pauses, undefined]) {
    try {
      return await send({ 'Idempotency-Key': idempotencyKey });
    } catch (error) {
      if (error instanceof KeywrightError) keepIdempotencyKey(error, idempotencyKey);
      if (pause === undefined || !isLost(error)) throw error;
      await wait(secondsBefore(pause, error), signal);
    }
  }
}

/** Whether the request may have been carried out, or is still running, without an answer. */
function isLost(error) {
  return error instanceof ServiceUnavailable || (error instanceof Refused && error.code === 'idempotency_key_in_use');
}

/** Give the wait before a retry. Up to half is added at random, so that clients do not retry all at once. */
export function secondsBefore(pause, error) {
  return Math.max(pause * (1 + Math.random() / 2), Math.min(error.retryAfter ?? 0, LONGEST_PAUSE));
}

async function wait(seconds, signal) {
  let stop;
  try {
    await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, seconds * 1000);
      stop = () => {
        clearTimeout(timer);
        reject(signal.reason);
      };
      if (signal?.aborted) stop();
      signal?.addEventListener('abort', stop);
    });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

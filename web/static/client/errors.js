/** Everything that goes wrong: `message` is one sentence for the user, `code` is for programs. */
export class CallError extends Error {
  /**
   * @param {string} code insecure-context | unsupported | no-microphone | permission-refused |
   *   microphone-busy | server-full | unknown-avatar | token | refused | unreachable |
   *   connection-lost | ended | server, or another one that the server gave (docs/api.md)
   * @param {string} message
   * @param {{retryAfterS?: number, status?: number, reason?: string}} [detail] `reason` says why a
   *   photo was refused: no-face | several-faces | face-too-small | …
   */
  constructor(code, message, { retryAfterS = 0, status = 0, reason = "" } = {}) {
    super(message);
    this.name = "CallError";
    this.code = code;
    this.retryAfterS = retryAfterS;
    this.status = status;
    this.reason = reason;
  }
}

/** Everything that goes wrong: `message` is one sentence for the user, `code` is for programs. */
export class CallError extends Error {
  /**
   * @param {string} code insecure-context | unsupported | no-microphone | permission-refused |
   *   microphone-busy | server-full | unknown-avatar | token | refused | unreachable |
   *   connection-lost | ended | server
   * @param {string} message
   * @param {{retryAfterS?: number, status?: number}} [detail]
   */
  constructor(code, message, { retryAfterS = 0, status = 0 } = {}) {
    super(message);
    this.name = "CallError";
    this.code = code;
    this.retryAfterS = retryAfterS;
    this.status = status;
  }
}

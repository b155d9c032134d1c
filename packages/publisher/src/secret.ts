/** A value that does not leave by accident: printed, logged or turned into JSON it reads «redacted». Pure. */

export class Secret<T> {
  readonly #value: T

  constructor(value: T) {
    this.#value = value
  }

  /** The value; call it only where it is used. */
  reveal(): T {
    return this.#value
  }

  toString(): string {
    return '«redacted»'
  }

  toJSON(): string {
    return '«redacted»'
  }
}

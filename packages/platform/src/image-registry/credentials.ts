/** Who a user is to a registry. Pure. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token, as `docker login` with a device code leaves it. */
  | { readonly kind: 'identity'; readonly token: string }

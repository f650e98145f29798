// Package oauth is the authorization server: the OAuth 2 grants that the Cloud
// Signature Consortium's API asks for, with the signer's consent taken by an
// [Approver] on the signer's own device.
//
// What it speaks: authorization code with PKCE S256 (RFC 7636), pushed (RFC 9126)
// and rich (RFC 9396) authorization requests, client credentials, refresh tokens
// with rotation, private_key_jwt (RFC 7523), DPoP (RFC 9449), introspection
// (RFC 7662), revocation (RFC 7009), metadata (RFC 8414) and the issuer in the
// redirect (RFC 9207).
//
// A token authorises asking; it never authorises signing. The code flow serves
// scope credential only: the approval names the signer, so no login is needed.
//
// Tokens are opaque: 256 random bits and a MAC over them. The database holds only
// their SHA-256 and what they stand for. ory/fosite runs the grants; client
// authentication, DPoP, details, storage and every answer are this package's, and
// no type of fosite or jwx leaves it.
package oauth

// Package webauthn verifies passkey registrations and assertions (W3C Web
// Authentication Level 2) with the standard library alone, for ES256 keys and
// attestation "none". It is strict: it knows one spelling of everything and
// refuses the rest.
package webauthn

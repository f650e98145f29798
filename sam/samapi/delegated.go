package samapi

// Delegation is the mechanism of keys that a machine may use without a person: the
// seals of organisations.
const Delegation = "delegated"

// Delegated is a relying party's wish with a machine's order for it.
type Delegated struct {
	Intent
	// Object is a signing.Delegation as a compact JWS, with the key of a machine that
	// is enrolled for the credential's signer.
	Object string `json:"object"`
}

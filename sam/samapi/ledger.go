package samapi

import (
	"time"

	"github.com/countersign/countersign/signing"
)

// Key is a signer's key as auditors see it: nothing in it names a person.
type Key struct {
	Credential  string          `json:"credential"`
	Type        signing.KeyType `json:"type"`
	Mechanism   string          `json:"mechanism"`
	SCAL        int             `json:"scal"`
	State       string          `json:"state"`
	KEK         int             `json:"kek"`       // generation of the key-encryption key; 0 when destroyed
	Assurance   string          `json:"assurance"` // of the signer's identity: low, substantial, high
	Multisign   int             `json:"multisign"`
	Made        time.Time       `json:"made"`
	NotAfter    time.Time       `json:"notAfter,omitzero"` // of its certificate; zero without one
	Certificate string          `json:"certificate"`       // hex SHA-256 of the certificate; empty without one
	SPKIHash    string          `json:"spkiHash"`          // hex SHA-256 of the SubjectPublicKeyInfo
}

// Inventory is what the module holds and the bounds that it enforces.
type Inventory struct {
	Keys       []Key          `json:"keys"`
	Devices    map[string]int `json:"devices"`    // active ones, by mechanism
	Approval   time.Duration  `json:"approval"`   // for the signer to decide
	Redeem     time.Duration  `json:"redeem"`     // for an approval to be used
	OCSPAge    time.Duration  `json:"ocspAge"`    // oldest answer about a certificate that counts
	MinWysiwys int            `json:"minWysiwys"` // what must have been checked for every request
}

// Ledger is what the event log says as a whole, read from its first event to its
// last.
type Ledger struct {
	VerifierKey string         `json:"verifierKey"` // of checkpoints, as sumdb/note writes it
	Checkpoint  Checkpoint     `json:"checkpoint"`
	First       time.Time      `json:"first"`
	Last        time.Time      `json:"last"`
	Events      map[string]int `json:"events"` // by type
	// Signatures were created; each by an approved SAD, of a hash that it names and
	// that was spent before, unless Anomalies say otherwise.
	Signatures int      `json:"signatures"`
	Anomalies  []string `json:"anomalies"`
	// Kept is how many checkpoints from outside of the database agree with the log.
	Kept int `json:"kept"`
	// LogError says what of the log is not what was written.
	LogError string `json:"logError,omitempty"`
}

// Attestation has the module's log hold the digest of a report.
type Attestation struct {
	ID     string `json:"id"`     // of the report; the sid of the event
	SHA256 []byte `json:"sha256"` // over the report
}

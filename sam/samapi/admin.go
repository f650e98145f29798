package samapi

import "time"

// Authority is a registration authority that may give orders.
type Authority struct {
	Name  string    `json:"name"`
	Key   string    `json:"key"`   // signing.KeyID
	SPKI  []byte    `json:"spki"`  // DER
	State string    `json:"state"` // active, revoked
	Added time.Time `json:"added"`
}

// Gateway is an authorisation server that may begin requests, and the one URL to
// which browsers are sent back.
type Gateway struct {
	Issuer    string    `json:"issuer"`
	ReturnURL string    `json:"returnURL"`
	Added     time.Time `json:"added"`
}

// Device is an authenticator as administrators and auditors see it.
type Device struct {
	ID        string    `json:"id"`
	Signer    string    `json:"signer"`
	Name      string    `json:"name"`
	Mechanism string    `json:"mechanism"`
	State     string    `json:"state"` // active, revoked
	Enrolled  time.Time `json:"enrolled"`
}

// Status counts what the module holds.
type Status struct {
	Module      string         `json:"module"`
	Now         time.Time      `json:"now"`
	Signers     int            `json:"signers"`
	Devices     map[string]int `json:"devices"`     // by state
	Credentials map[string]int `json:"credentials"` // by state
	Requests    map[string]int `json:"requests"`    // SADs by state
	Batches     map[string]int `json:"batches"`     // signed, burned, …
	Burned      int            `json:"burned"`      // hashes that were authorised, spent and never signed
}

// Finding is a stored record that is not what the module wrote.
type Finding struct {
	Kind string `json:"kind"` // credential, authenticator, signer, …
	ID   string `json:"id"`
	What string `json:"what"`
}

// Verification is the result of reading back every protected record and the log.
type Verification struct {
	Records  int       `json:"records"` // how many were checked
	Findings []Finding `json:"findings"`
	LogSize  int64     `json:"logSize"`
	LogError string    `json:"logError,omitempty"`
}

package conformance

import (
	"time"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/sam/samapi"
)

// Evidence is what was found on a running installation. A part that could not be
// asked is nil, and Missing says why: nothing that needs it is proven then.
type Evidence struct {
	Begun        time.Time  `json:"begun"`
	Ended        time.Time  `json:"ended"`
	Installation string     `json:"installation"` // the module's name of itself
	Version      string     `json:"version"`
	Commit       string     `json:"commit"` // of the program that asks
	Roles        []Role     `json:"roles"`
	Module       *Module    `json:"module,omitempty"`
	Authority    *Authority `json:"authority,omitempty"`
	Clock        *Clock     `json:"clock,omitempty"`
	Tests        *Tests     `json:"tests,omitempty"`
	Previous     *Previous  `json:"previous,omitempty"`
	Missing      []Missing  `json:"missing"`
}

// Role is one process of the installation.
type Role struct {
	Role    string            `json:"role"`
	Ready   bool              `json:"ready"`
	Commit  string            `json:"commit"`
	Started time.Time         `json:"started"`
	Checks  map[string]string `json:"checks"` // "ok", or what is wrong
	Facts   map[string]string `json:"facts"`
}

// Module is the signature activation module.
type Module struct {
	Probe        keystore.Capabilities `json:"probe"`
	Inventory    samapi.Inventory      `json:"inventory"`
	Ledger       samapi.Ledger         `json:"ledger"`
	Verification samapi.Verification   `json:"verification"`
	Status       samapi.Status         `json:"status"`
}

// Authority is the certification authority.
type Authority struct {
	Certificates []Certificate  `json:"certificates"`
	Parties      map[string]int `json:"parties"` // registered keys, by role
	Findings     []string       `json:"findings"`
}

// Certificate is a certificate without the person in it.
type Certificate struct {
	Serial     string    `json:"serial"`
	Role       string    `json:"role"`
	Credential string    `json:"credential,omitempty"`
	Key        string    `json:"key"`       // P-256, RSA-3072 …
	Signature  string    `json:"signature"` // algorithm of the issuer's signature
	SPKIHash   string    `json:"spkiHash"`
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Revoked    time.Time `json:"revoked,omitzero"`
}

// Clock is how the clocks stand.
type Clock struct {
	// Synchronised is what the kernel says of the clock it keeps. It stops saying so
	// by itself when no source was heard for about nine hours.
	Synchronised bool          `json:"synchronised"`
	MaxError     time.Duration `json:"maxError"` // what the kernel knows at most
	// Module and Stamp are how far the module's clock and the time-stamp authority's
	// are from this machine's, at most: the time that the question took is in it.
	Module time.Duration `json:"module"`
	Stamp  time.Duration `json:"stamp"`
}

// Tests is the record of the test suite.
type Tests struct {
	Commit string    `json:"commit"` // of the source that was tested
	Ended  time.Time `json:"ended"`
	Passed int       `json:"passed"`
	Failed int       `json:"failed"`
	// Claims are the tests that claim a control, and how they ended.
	Claims map[string][]Claim `json:"claims"`
}

// Claim is a test that exercises a control.
type Claim struct {
	Test    string `json:"test"`
	Outcome string `json:"outcome"` // pass, fail, skip
}

// Previous is an earlier report, whose checkpoint the log must still contain.
type Previous struct {
	ID    string    `json:"id"`
	Ended time.Time `json:"ended"`
	Size  int64     `json:"size"` // events in the log then
}

// Missing is evidence that could not be had.
type Missing struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

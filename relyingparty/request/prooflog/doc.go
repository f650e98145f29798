// Package prooflog writes the log of a signing process as a PDF: for people as
// pages, for programs as the attached process.json with the same content. It is
// sealed by whoever asked for it.
package prooflog

import "time"

// Story is what the log tells. Times are written in UTC.
type Story struct {
	Request      string     `json:"request"`
	Organisation string     `json:"organisation"`
	Title        string     `json:"title"`
	Sender       string     `json:"sender"`
	SenderEmail  string     `json:"senderEmail"`
	Message      string     `json:"message,omitempty"`
	Made         time.Time  `json:"made"`
	Sent         time.Time  `json:"sent"`
	Deadline     time.Time  `json:"deadline"`
	Written      time.Time  `json:"written"`
	Documents    []Document `json:"documents"`
	Signers      []Signer   `json:"signers"`
	Events       []Event    `json:"events"`
}

// Document is a document as it was sealed. Digests are lower-case hex.
type Document struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	SHA256   string `json:"sha256"`
	SHA512   string `json:"sha512"`
	Original string `json:"originalSha256"` // as it was uploaded
	Field    string `json:"sealField"`      // the signature field of the seal
}

// Signer is a signer and what became of them.
type Signer struct {
	Position    int       `json:"position"`
	Name        string    `json:"name"`
	Email       string    `json:"email"`
	Level       string    `json:"level"`
	Factor      string    `json:"factor"`
	Invited     time.Time `json:"invited"`
	Signed      time.Time `json:"signed"`
	Certificate string    `json:"certificate"`
	Verdict     string    `json:"verdict"`
}

// Event is one entry of the log.
type Event struct {
	Seq   int64             `json:"seq"`
	At    time.Time         `json:"at"`
	Type  string            `json:"type"`
	Actor string            `json:"actor"`
	Name  string            `json:"name,omitempty"`
	Data  map[string]string `json:"data,omitempty"`
}

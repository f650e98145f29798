// Package notify brings messages to people: mail in text and HTML, signed with
// DKIM, and short codes by SMS. A message is queued in the transaction that makes
// it necessary and is delivered by a job that tries again while the mail server is
// down; what became of it can be seen.
package notify

import "time"

// Kind is what a message is about. Every kind has its texts in every language,
// keyed "mail.KIND.…" in locales.
type Kind string

// The kinds of messages.
const (
	Invitation Kind = "invitation" // it is your turn to sign: one link
	Reminder   Kind = "reminder"   // the same link again
	Code       Kind = "code"       // a one-time code
	Rejected   Kind = "rejected"   // somebody rejected: closed for all
	Withdrawn  Kind = "withdrawn"  // the sender took the request back
	Expired    Kind = "expired"    // the deadline passed
	Stopped    Kind = "stopped"    // a signature did not verify
	Completed  Kind = "completed"  // everybody signed: one link to the results
)

// Channel is how a message travels.
type Channel string

// The channels.
const (
	Mail Channel = "mail"
	SMS  Channel = "sms"
)

// Message is what somebody is to be told.
type Message struct {
	Org     string
	Request string // what it belongs to; Deliveries lists by it
	Kind    Kind
	Channel Channel // default Mail
	To      string  // an e-mail address, or a number in E.164 form (+49…)
	ToName  string
	Lang    string // of the reader
	// Link is the one link of the message; empty for none.
	Link string
	// Code is the one-time code of a Code message. It is in no log and is forgotten
	// when the message has left.
	Code string
	// Sender is the person in whose name it is sent, SenderOrg their organisation.
	Sender, SenderOrg string
	// ReplyTo is the sender's own address; empty for none.
	ReplyTo string
	// Title and Text are the sender's words, Reason is somebody's who rejected or
	// withdrew, Who names them.
	Title, Text, Reason, Who string
	// Deadline is when the request ends, or when a code does.
	Deadline time.Time
}

// State is how far a message got.
type State string

// The states of a message.
const (
	Queued State = "queued" // waits for its first or next attempt
	Sent   State = "sent"   // the mail server took it
	Failed State = "failed" // given up: refused for good, or too old
)

// Delivery is a message as the sender of a request sees it. It never shows code
// or link.
type Delivery struct {
	ID       string
	Request  string
	Kind     Kind
	Channel  Channel
	To       string
	State    State
	Attempts int
	Queued   time.Time
	Sent     time.Time // zero until it was sent
	Next     time.Time // of the next attempt; zero when there is none
	Error    string    // why the last attempt failed, in one sentence; empty if it did not
}

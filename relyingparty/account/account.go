// Package account knows the people of the sending organisation: who they are, how
// they prove it (password and time-based code), and which of their browsers are
// logged in. Signers are not here: they need no account.
package account

import (
	"time"
)

// Codes of the faults of this package.
const (
	CodeLogin     = "login_wrong"     // address, password or code is wrong: the same for all three
	CodeThrottled = "login_throttled" // too many wrong tries; the detail says how long to wait
	CodeSession   = "session_ended"
	CodePassword  = "password_weak"
	CodeExists    = "account_exists"
	CodeSecond    = "second_factor_missing" // logged in with the password only
)

// Role is what somebody may do.
type Role string

// The roles.
const (
	Member Role = "member" // sends requests and sees their own
	Admin  Role = "admin"  // also sees everybody's, and keeps the accounts
)

// User is a person with an account.
type User struct {
	ID     string
	Org    string
	Email  string // lower case
	Name   string
	Lang   string
	Role   Role
	TOTP   bool // a second factor is set up
	Locked bool // by an administrator
	Made   time.Time
}

// NewUser is an account to be made.
type NewUser struct {
	Org, Email, Name, Lang string
	Role                   Role
	Password               string
	// Second is the secret of a second factor that the person has already, in base32
	// as authenticator apps take it; empty has the first login set one up.
	Second string
}

// Browser is where a call comes from: what a session is bound to, and what is
// written to the log.
type Browser struct {
	Address string // of the network, as the proxies that are trusted say
	Agent   string // User-Agent
}

// Stage says how far a login got.
type Stage string

// The stages of a session.
const (
	NeedsCode  Stage = "code"   // the password was right; Code must follow
	NeedsSetup Stage = "setup"  // the password was right and no second factor is set up yet
	LoggedIn   Stage = "active" // everything was right
)

// Session is a browser that is logged in, or on the way there. Token is for a
// cookie (HttpOnly, SameSite=Lax, Secure but for loopback http) and is only known
// when the session is made; the database holds its hash.
type Session struct {
	Token   string
	User    User
	Stage   Stage
	Expires time.Time // of the idle time; every use lengthens it
}

// Setup is a second factor that is being set up: the secret as text and as the
// otpauth URL of a QR code.
type Setup struct {
	Secret string
	URL    string
}

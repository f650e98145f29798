package request

import "time"

// LandingState says what a link shows.
type LandingState string

// The states of a link.
const (
	LandNotYet    LandingState = "not_your_turn"
	LandSign      LandingState = "sign"      // it is their turn
	LandWorking   LandingState = "working"   // their signatures are being made
	LandSigned    LandingState = "signed"    // theirs is done, others are still to sign
	LandCompleted LandingState = "completed" // results can be had
	LandRejected  LandingState = "rejected"
	LandWithdrawn LandingState = "withdrawn"
	LandExpired   LandingState = "expired"
	LandStopped   LandingState = "stopped"
)

// Landing is what a link alone shows: nothing of the documents.
type Landing struct {
	Signer    string // id: name the cookie of the visit after it
	Name      string // of the signer
	Lang      string
	State     LandingState
	Sender    string // who asks
	Email     string // of the sender, to ask
	Org       string // organisation id; its name is the page's
	Deadline  time.Time
	Step      int // of the signer, from 1
	Steps     int
	Reason    string // why it was rejected or withdrawn
	By        string // who rejected
	Factor    Factor
	SentTo    string    // where codes go, masked: a•••@example.org, +49 ••• ••78
	CodeEnds  time.Time // of the code that was sent last; zero if none is good
	CodeTries int       // left for that code
	Again     time.Time // when another code may be ordered; zero for now
	Length    int       // of codes
	Digits    bool      // codes are digits only
}

// View is what a signer sees with link and second factor.
type View struct {
	Landing
	Title     string
	Message   string
	Documents []Document
	// Signers are all signers in order, without addresses and numbers.
	Signers []Signer
	Me      Signer
	Log     bool // the sealed log can be had
	Seq     int64
}

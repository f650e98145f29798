package request

import (
	"time"
)

// State is the state of a request.
type State string

// The states of a request. All but Draft and Running are final.
const (
	Draft     State = "draft"     // only its sender sees it
	Running   State = "running"   // signers are being asked
	Sealing   State = "sealing"   // everybody signed; files and log are being sealed
	Completed State = "completed" // sealed; results are there
	Rejected  State = "rejected"  // a signer rejected
	Withdrawn State = "withdrawn" // the sender took it back
	Expired   State = "expired"   // the deadline passed
	Stopped   State = "stopped"   // a signature did not verify; the log says why
)

// Final says whether nothing more will happen to a request.
func (s State) Final() bool { return s != Draft && s != Running && s != Sealing }

// SignerState is the state of one signer.
type SignerState string

// The states of a signer.
const (
	Waiting  SignerState = "waiting"  // not their turn yet
	Invited  SignerState = "invited"  // their turn; the invitation is on its way or there
	Opened   SignerState = "opened"   // they saw the documents
	Approval SignerState = "approval" // personal key: at the approval page
	Signing  SignerState = "signing"  // they said yes; their signatures are being made and verified
	Signed   SignerState = "signed"   // verified in the stored files
	Refused  SignerState = "refused"  // they rejected
)

// Level is how a signer signs.
type Level string

// The levels.
const (
	// Click: the signer's act is recorded and the organisation's seal is put on the
	// files, naming the signer. The seal proves the organisation, not the person.
	Click Level = "click"
	// Personal: with a key of their own, approved on their own device.
	Personal Level = "personal"
)

// Factor is the second factor of a signer, beside the link.
type Factor string

// The second factors.
const (
	NoFactor Factor = "none"
	MailCode Factor = "mail" // a code in a second mail
	SMSCode  Factor = "sms"  // a code to the signer's number
)

// Sender is an account of the organisation that acts, as account.Session says.
type Sender struct {
	Org   string
	User  string // id
	Name  string
	Email string
	// All lets it see and act on requests of others (administrators).
	All bool
	// Address of the network it acts from, for the log.
	Address string
}

// Visitor is where a signer's call comes from, for the log.
type Visitor struct {
	Address string
	Agent   string
}

// Request is a request with all that its sender may see.
type Request struct {
	ID        string
	Org       string
	Owner     string // user id
	Sender    string // the owner's name
	Email     string // the owner's address
	Title     string
	Message   string // plain text
	Lang      string // of the log and of messages to the sender
	Deadline  time.Time
	State     State
	Reason    string // why it was rejected, withdrawn or stopped
	By        string // name of who rejected or withdrew
	Made      time.Time
	Sent      time.Time // zero for a draft
	Ended     time.Time // zero while it runs
	Reminded  time.Time // last manual reminder; zero if none
	Documents []Document
	Signers   []Signer
	// Log is the sealed log of the process, a document of the store; empty until
	// Completed.
	Log string
	// Seq is the number of the last event.
	Seq int64
}

// Document is a file of a request in its current revision.
type Document struct {
	ID       string // of the file in the request; it stays the same
	Name     string
	Position int
	// Size, SHA256 and SHA512 are those of the current revision: what Download
	// gives. They equal sha256sum and sha512sum of the file, in lower-case hex.
	Size           int64
	SHA256, SHA512 string
	// Revision counts from 0, the file as it was uploaded. Original is the digest
	// of that.
	Revision       int
	OriginalSHA256 string
	Stored         string // the id of the current revision in the document store
}

// Signer is one signer of a request.
type Signer struct {
	ID         string
	Position   int // from 1
	Name       string
	Email      string
	Phone      string // E.164; only with SMSCode
	Lang       string
	Level      Level
	Factor     Factor
	Credential string // of the signing service, for Personal; empty: see Service.LinkCredential
	State      SignerState
	Reason     string // why they rejected
	Problem    string // why the last attempt to sign failed, one sentence in English; Code is for programs
	Code       string
	Invited    time.Time
	Opened     time.Time
	Acted      time.Time // signed or rejected
	Reminded   time.Time
	// Certificate is the subject of the certificate that signed; Verdict what the
	// verification of the stored files said, e.g. TOTAL-PASSED.
	Certificate string
	Verdict     string

	signing string // id of the signing under way
}

// NewDraft is what a draft begins with; all may be empty until Send.
type NewDraft struct {
	Title    string
	Message  string
	Lang     string
	Deadline time.Time
}

// NewSigner is a signer of a draft, in the order of the list.
type NewSigner struct {
	Name, Email, Phone, Lang string
	Level                    Level
	Factor                   Factor
	Credential               string
}

// Event is one thing that happened, in the order of Seq (from 1 per request).
type Event struct {
	Seq     int64
	Type    EventType
	At      time.Time
	Signer  string // id; empty if it concerns none
	Actor   string // "user:ID", "signer:ID", "machine"
	Name    string // of the actor, for people
	Address string // of the network; only the request's sender sees it
	// Data are details by name, e.g. document, sha256, verdict, reason.
	Data map[string]string
}

// EventType names an event. Texts for people are keyed "event.TYPE" by the pages.
type EventType string

// The events.
const (
	EventCreated          EventType = "created"
	EventDocumentAdded    EventType = "document_added"    // document, sha256, sha512, size
	EventDocumentRemoved  EventType = "document_removed"  // document, sha256
	EventSent             EventType = "sent"              // signers, documents
	EventInvited          EventType = "invited"           // step
	EventMailSent         EventType = "mail_sent"         // kind, to, channel
	EventMailFailed       EventType = "mail_failed"       // kind, to, error: given up
	EventOpened           EventType = "opened"            // the link was opened
	EventCodeSent         EventType = "code_sent"         // channel, to (masked)
	EventCodeWrong        EventType = "code_wrong"        // left
	EventCodeBlocked      EventType = "code_blocked"      // too many wrong codes
	EventCodeRight        EventType = "code_right"        // the second factor was shown
	EventViewed           EventType = "viewed"            // the documents were shown
	EventDownloaded       EventType = "downloaded"        // document, sha256
	EventApprovalBegun    EventType = "approval_begun"    // personal key: sent to the approval page
	EventApprovalRefused  EventType = "approval_refused"  // reason
	EventSigningBegun     EventType = "signing_begun"     // the signer said yes
	EventSealUsed         EventType = "seal_used"         // credential, for whom, document, what for
	EventSignatureMade    EventType = "signature_made"    // document, field, sha256 of the new revision
	EventSignatureChecked EventType = "signature_checked" // document, field, verdict, level, signer, covers
	EventSigned           EventType = "signed"            // all of the signer's signatures are verified
	EventSigningFailed    EventType = "signing_failed"    // code, error: nothing was signed; may be tried again
	EventSealingFailed    EventType = "sealing_failed"    // code, error: it is tried again
	EventRejected         EventType = "rejected"          // reason
	EventReminded         EventType = "reminded"          // to
	EventWithdrawn        EventType = "withdrawn"         // reason
	EventExpired          EventType = "expired"
	EventStopped          EventType = "stopped"   // error
	EventCompleted        EventType = "completed" // log document, sha256
)

// Summary is a line of the list of requests.
type Summary struct {
	ID, Title, Sender string
	State             State
	Made, Deadline    time.Time
	Changed           time.Time // of the last event
	Signers, Signed   int
	Names             []string // of the signers, in order
	Current           string   // name of the signer whose turn it is
}

// Filter chooses requests for a list; zero fields choose all.
type Filter struct {
	States   []State
	Text     string // in title or names or addresses of signers
	From, To time.Time
	Limit    int    // default 50, most 500
	Before   string // id of the last one of the page before
}

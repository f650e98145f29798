package approval

import (
	"context"

	"github.com/countersign/countersign/sam/samapi"
)

// Module is what the approval origin needs of the activation module.
type Module interface {
	Requests
	Phones
	Enrolments
	Devices
}

// Requests are for the browser that started one, which has its view token.
type Requests interface {
	View(ctx context.Context, sid, view string) (samapi.Request, error)
	Shown(ctx context.Context, sid, view string) (samapi.Shown, error)
	StateOf(ctx context.Context, sid, view string) (string, error)
	// Claim gives the page to the first browser that opens it; Mine refuses others.
	Claim(ctx context.Context, sid, view, secret string) (fresh string, mine bool, err error)
	Mine(ctx context.Context, sid, secret string) error
	Decide(ctx context.Context, sid, view string, yes samapi.Approval) (samapi.Decision, error)
	Reject(ctx context.Context, sid, view, reason string) error
	Return(ctx context.Context, sid, view string) (string, error)
}

// Phones are for the phone that came by the code on a request's page.
type Phones interface {
	PhoneToken(ctx context.Context, sid, view string) (string, error)
	PhoneView(ctx context.Context, sid, token string) (samapi.Shown, error)
	PhoneState(ctx context.Context, sid, token string) (string, error)
	PhoneReject(ctx context.Context, sid, token, reason string) error
}

// Enrolments make devices.
type Enrolments interface {
	OpenEnrolment(ctx context.Context, id string) (samapi.OpenEnrolment, error)
	Enrol(ctx context.Context, id string, req samapi.Enrol) (samapi.Enrolled, error)
}

// Devices are for the app; token is that of a device's session.
type Devices interface {
	Nonce(ctx context.Context) (samapi.Nonce, error)
	OpenSession(ctx context.Context, req samapi.OpenSession) (samapi.Session, error)
	CloseSession(ctx context.Context, token string) error
	Inbox(ctx context.Context, token string) (samapi.Inbox, error)
	Pulse(ctx context.Context, token string) (string, error)
	DeviceView(ctx context.Context, token, sid string) (samapi.Shown, error)
	DeviceReject(ctx context.Context, token, sid, reason string, notMe bool) error
	RemoveDevice(ctx context.Context, token string) error
}

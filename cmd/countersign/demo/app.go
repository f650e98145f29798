package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/sam/samapi"
)

// offerApp lets the signer make a browser, on a phone for example, one more device
// for the key that the command line signs with.
func (d *Demo) offerApp(ctx context.Context, who enrolled) error {
	key, err := ra.LoadKey(d.l.path("ra.pem"))
	if err != nil {
		return err
	}
	a := &ra.Authority{Name: raName, Key: key, Now: time.Now}
	ticket, err := a.Enrol(ctx, d.l.sockets().Module(), d.person(who.Signer), samapi.DeviceKey)
	if err != nil {
		return fmt.Errorf("open an enrolment for the app: %w", err)
	}
	d.say("\nApprove in a browser, as an app: %s/app/", d.l.approval())
	d.say("  for credential %s. Make the browser a device of %s first; the link works once:", who.Credential, d.Name)
	d.say("  enrol: %s", ticket.URL)
	d.say("  code:  %s", ticket.Code)
	return nil
}

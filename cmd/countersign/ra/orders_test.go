package ra_test

import (
	"testing"

	"github.com/countersign/countersign/cmd/countersign/ra"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

var _ ra.Orders = (*sam.Module)(nil)

func TestTheAuthorityLiftsBlocksAndRevokesDevices(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{})
	p := r.Person(samtest.Wish{})
	a := ra.Authority{Name: "ra-1", Key: r.RA, Now: r.Clock.Now}
	q := r.Request(p, samtest.Hash("x"))
	if err := r.DeviceReject(t.Context(), r.Session(p.Device), q.SID, "", true); err != nil {
		t.Fatal(err)
	}
	stranger := ra.Authority{Name: "ra-1", Key: newKey(t), Now: r.Clock.Now}
	if err := stranger.LiftBlock(t.Context(), r.Module, p.ID, samtest.Client, "x"); fault.Of(err).Code != samapi.CodeOrder {
		t.Errorf("somebody else lifts the block: %v", err)
	}
	if err := a.LiftBlock(t.Context(), r.Module, p.ID, samtest.Client, "looked into"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Begin(t.Context(), r.Intent(p, samtest.Hash("y"))); err != nil {
		t.Errorf("after it was lifted: %v", err)
	}
	if err := stranger.RevokeDevice(t.Context(), r.Module, p.Device.ID, "x"); fault.Of(err).Code != samapi.CodeOrder {
		t.Errorf("somebody else revokes the device: %v", err)
	}
	if err := a.RevokeDevice(t.Context(), r.Module, p.Device.ID, "lost"); err != nil {
		t.Fatal(err)
	}
	all, err := r.Devices(t.Context(), p.ID)
	if err != nil || len(all) != 1 || all[0].State != "revoked" {
		t.Errorf("devices %+v, %v", all, err)
	}
}

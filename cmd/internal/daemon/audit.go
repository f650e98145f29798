package daemon

import (
	"context"
	"errors"
	"fmt"

	"github.com/countersign/countersign/internal/audit"
	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/signing"
)

// auditKey is the name of the resident key that signs a role's event log.
const auditKey = "audit-log"

// OpenAudit opens the event log of a role that has a keystore, and keeps it
// going while the process runs.
func (p *Process) OpenAudit(ctx context.Context, db *store.DB, keys keystore.Store, origin string) (*audit.Log, error) {
	key, err := keys.Service(ctx, auditKey)
	if errors.Is(err, keystore.ErrNoKey) {
		key, err = keys.NewService(ctx, auditKey, signing.KeyEd25519)
	}
	if err != nil {
		return nil, fmt.Errorf("key of the event log: %w", err)
	}
	events, err := audit.New(ctx, audit.Config{DB: db, Origin: origin, Signer: key, Log: p.Log})
	if err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	p.Go(events.Run)
	return events, nil
}

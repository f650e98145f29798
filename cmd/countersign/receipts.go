package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/countersign/countersign/cmd/countersign/sockets"
	"github.com/countersign/countersign/federation"
)

type auditReceiptsCmd struct {
	socketsFlag
	Org    string    `default:"default" help:"Organisation whose receipts they are."`
	Peer   string    `help:"Peer that signed, by its id."`
	Client string    `help:"Peer that it was signed for, by its client_id here."`
	Since  time.Time `help:"Only from this time on (RFC 3339)."`
	Out    string    `short:"o" required:"" type:"path" placeholder:"FILE" help:"File to write."`
}

// Run exports receipts, checks them, and writes them.
func (c *auditReceiptsCmd) Run(ctx context.Context, t terminal) error {
	r, err := c.dir().Receipts(ctx, sockets.ReceiptsOf{Org: c.Org, Peer: c.Peer, Client: c.Client, Since: c.Since})
	if err != nil {
		return err
	}
	list, err := federation.ReadReceipts([]byte(r.File), r.Key)
	if err != nil {
		return withCode(exitService, fmt.Errorf("the gateway's receipts do not verify: %w", err))
	}
	if err := os.WriteFile(c.Out, []byte(r.File), 0o600); err != nil {
		return withCode(exitLocal, err)
	}
	t.say("%s: %d receipts; check them with the key %s", c.Out, len(list), r.Key)
	return nil
}

type auditCompareCmd struct {
	A    string `arg:"" type:"existingfile" help:"Receipts of one side, from audit receipts."`
	B    string `arg:"" type:"existingfile" help:"Receipts of the other side."`
	KeyA string `name:"key-a" required:"" placeholder:"VKEY" help:"Public key of the first side's log, or a file with it."`
	KeyB string `name:"key-b" required:"" placeholder:"VKEY" help:"Public key of the other side's log, or a file with it."`
	JSON bool   `help:"One JSON object."`
}

// Run checks both files and says what they say about each other.
func (c *auditCompareCmd) Run(t terminal) error {
	a, err := readReceipts(c.A, c.KeyA)
	if err != nil {
		return err
	}
	b, err := readReceipts(c.B, c.KeyB)
	if err != nil {
		return err
	}
	cmp := federation.CompareReceipts(a, b)
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(cmp); err != nil {
			return withCode(exitLocal, err)
		}
	} else {
		for _, p := range cmp.Agreed {
			fmt.Fprintf(t.out, "both     %s  %d by certificate %.16s  %s / %s\n", p.A.Time.Format(time.RFC3339), p.A.Count, p.A.Cert, p.A.SID, p.B.SID)
		}
		for _, r := range cmp.OnlyA {
			fmt.Fprintf(t.out, "only A   %s  %d by certificate %.16s  %s\n", r.Time.Format(time.RFC3339), r.Count, r.Cert, r.SID)
		}
		for _, r := range cmp.OnlyB {
			fmt.Fprintf(t.out, "only B   %s  %d by certificate %.16s  %s\n", r.Time.Format(time.RFC3339), r.Count, r.Cert, r.SID)
		}
	}
	if len(a)+len(b) == 0 {
		return withCode(exitNo, errors.New("there is no receipt in either file"))
	}
	if !cmp.Fits() {
		return withCode(exitNo, fmt.Errorf("%d receipts agree; %d stand in the first file only, %d in the second only", len(cmp.Agreed), len(cmp.OnlyA), len(cmp.OnlyB)))
	}
	t.say("%d receipts, all agree", len(cmp.Agreed))
	return nil
}

func readReceipts(file, key string) ([]federation.LoggedReceipt, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, withCode(exitLocal, err)
	}
	if key, err = keyOrFile(key); err != nil {
		return nil, err
	}
	list, err := federation.ReadReceipts(b, key)
	if err != nil {
		return nil, withCode(exitNo, fmt.Errorf("%s does not hold: %w", file, err))
	}
	return list, nil
}

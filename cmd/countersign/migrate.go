package main

import (
	"context"
	"errors"

	"github.com/countersign/countersign/cmd/internal/daemon"
)

// migrateCmd brings a database up to date without serving anything. Every role
// does the same when it starts; this is for installations that update the
// database first. countersign-sam has its own database and does it itself.
type migrateCmd struct {
	Role   string `arg:"" enum:"gateway,pki,portal" help:"Role whose database it is: ${enum}."`
	Config string `required:"" type:"path" placeholder:"FILE" help:"Configuration file of the role."`
}

// Run opens the role and closes it again.
func (c *migrateCmd) Run(ctx context.Context, t terminal) error {
	err := c.migrate(ctx, t)
	if err == nil {
		t.say("%s: the database is up to date", c.Role)
	}
	return withCode(exitLocal, err)
}

func (c *migrateCmd) migrate(ctx context.Context, t terminal) error {
	o := daemon.Options{Config: c.Config}
	p := daemon.New(c.Role, t.err)
	switch c.Role {
	case "gateway":
		s := gatewayDefaults()
		if _, err := o.Load(c.Role, &s, t.out); err != nil {
			return err
		}
		_, closing, err := joinGateway(ctx, p, &s)
		return closed(closing, err)
	case "pki":
		s := pkiDefaults()
		if _, err := o.Load(c.Role, &s, t.out); err != nil {
			return err
		}
		_, _, closing, err := openAuthority(ctx, p, &s)
		return closed(closing, err)
	default:
		s := portalDefaults()
		if _, err := o.Load(c.Role, &s, t.out); err != nil {
			return err
		}
		_, _, db, err := joinPortal(ctx, &s)
		if err != nil {
			return err
		}
		return db.Close()
	}
}

func closed(closing func() error, err error) error {
	if closing != nil {
		err = errors.Join(err, closing())
	}
	return err
}

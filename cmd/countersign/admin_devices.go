package main

import (
	"context"
	"encoding/json"
)

type devicesCmd struct {
	socketsFlag
	Signer string `arg:"" help:"The authority's id of the person."`
}

// Run prints the signer's devices, one a line.
func (c *devicesCmd) Run(ctx context.Context, t terminal) error {
	all, err := c.dir().ModuleAdmin().Devices(ctx, c.Signer)
	if err != nil {
		return err
	}
	out := json.NewEncoder(t.out)
	for _, d := range all {
		if err := out.Encode(d); err != nil {
			return err
		}
	}
	return nil
}

type revokeDeviceCmd struct {
	socketsFlag
	authority
	Device string `arg:"" help:"Id of the device."`
	Reason string `required:"" help:"Why, for the log."`
}

// Run revokes the device. Keys that no other device approves for are suspended.
func (c *revokeDeviceCmd) Run(ctx context.Context, t terminal) error {
	a, err := c.load()
	if err != nil {
		return err
	}
	if err := a.RevokeDevice(ctx, c.dir().Module(), c.Device, c.Reason); err != nil {
		return err
	}
	t.say("the device %s was revoked", c.Device)
	return nil
}

type liftBlockCmd struct {
	socketsFlag
	authority
	Signer string `required:"" help:"The authority's id of the person."`
	Client string `required:"" help:"The client that the person did not want to hear."`
	Reason string `required:"" help:"Why, for the log."`
}

// Run lets the client ask the signer again.
func (c *liftBlockCmd) Run(ctx context.Context, t terminal) error {
	a, err := c.load()
	if err != nil {
		return err
	}
	if err := a.LiftBlock(ctx, c.dir().Module(), c.Signer, c.Client, c.Reason); err != nil {
		return err
	}
	t.say("%s may ask %s again", c.Client, c.Signer)
	return nil
}

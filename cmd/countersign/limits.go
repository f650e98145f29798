package main

import "github.com/countersign/countersign/cmd/internal/daemon"

// Validate refuses limits that would let nobody in.
func (s *gatewaySettings) Validate() error {
	return daemon.CheckLimit("rate", s.Rate, "burst", s.Burst)
}

// Validate refuses limits that would let nobody in.
func (s *pkiSettings) Validate() error { return daemon.CheckLimit("rate", s.Rate, "burst", s.Burst) }

// Validate refuses limits that would let nobody in.
func (s *portalSettings) Validate() error { return daemon.CheckLimit("rate", s.Rate, "burst", s.Burst) }

package main

import (
	"errors"
	"time"

	"github.com/countersign/countersign/cmd/internal/daemon"
	"github.com/countersign/countersign/sam"
)

// limitSettings bound requests; what they mean and may be is [sam.Limits]'s.
type limitSettings struct {
	Pending   int            `config:"pending" doc:"Requests of one client that may wait for one signer at the same time; of all clients together 50, or as many."`
	Documents int            `config:"documents" doc:"Documents of one approval, whatever the key allows."`
	MaxRedeem time.Duration  `config:"redeem_time_max" doc:"Most that a request may ask for instead of redeem_time."`
	Keep      time.Duration  `config:"keep" doc:"How long signatures whose arrival nobody acknowledged are kept; at most 24h."`
	OCSPAge   time.Duration  `config:"ocsp_age" doc:"How old an OCSP answer about the signer's certificate may be; at most 10m."`
	Digits    int            `config:"number_digits" doc:"Digits of the number that is read on one screen and typed on the other, 2 to 4."`
	Checked   int            `config:"checked" doc:"1 refuses requests whose documents the module cannot hold against their signed attributes; 0 leaves that to keys and clients."`
	Clients   map[string]int `config:"clients_checked" doc:"The same for single clients, by client_id."`
}

func limitDefaults() limitSettings {
	return limitSettings{Pending: 5, Documents: 200, MaxRedeem: 30 * time.Minute, Keep: 24 * time.Hour, OCSPAge: 10 * time.Minute, Digits: 2}
}

// limits are those of the module.
func (s *settings) limits() sam.Limits {
	l := s.Limits
	return sam.Limits{
		Approval: s.Wait, Redeem: s.Redeem, MaxRedeem: l.MaxRedeem, Keep: l.Keep, Pending: l.Pending, Documents: l.Documents,
		Digits: l.Digits, MinWysiwys: l.Checked, PartyWysiwys: l.Clients, OCSPAge: l.OCSPAge,
	}
}

// validateLimits refuses what would mean something else than it says: the module
// takes 0 for its default.
func (s *settings) validateLimits() error {
	l := s.Limits
	switch {
	case s.Wait <= 0 || s.Redeem <= 0 || l.MaxRedeem <= 0 || l.Keep <= 0 || l.OCSPAge <= 0:
		return errors.New("approval_time, redeem_time and the times of limits must be above 0")
	case l.Pending <= 0 || l.Documents <= 0 || l.Digits <= 0:
		return errors.New("limits: pending, documents and number_digits must be above 0")
	case s.Redeem > l.MaxRedeem:
		return errors.New("redeem_time is longer than limits.redeem_time_max")
	case s.Rate <= 0:
		return errors.New("approval_rate must be above 0: nobody could approve")
	}
	for client, n := range l.Clients {
		if n < 0 || n > 1 {
			return errors.New("limits.clients_checked." + client + " is 0 or 1")
		}
	}
	return daemon.CheckLimit("approval_rate", s.Rate, "approval_burst", s.Burst)
}

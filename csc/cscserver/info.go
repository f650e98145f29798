package cscserver

import (
	"net/http"
	"slices"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/signing"
)

// describe makes the answer of info from what is really offered.
func (c Config) describe() csc.Info {
	info := csc.Info{
		Specs:              csc.Specs,
		Name:               c.Name,
		Logo:               c.Logo,
		Region:             c.Region,
		Lang:               c.Lang,
		Description:        c.Description,
		AuthType:           c.AuthTypes,
		OAuth2:             c.OAuthBase,
		SupportsRAR:        true,
		SupportedHashTypes: []string{"dtbsr"},
		Methods:            []string{csc.MethodInfo, csc.MethodCredentialsList, csc.MethodCredentialsInfo, csc.MethodSignHash},
		SignAlgorithms:     csc.SignAlgorithms{Algos: oids(c.Algorithms)},
		SignatureFormats:   csc.SignatureFormats{Formats: []string{}, EnvelopeProperties: [][]string{}},
		ConformanceLevels:  []string{},
	}
	if info.Lang == "" {
		info.Lang = "en"
	}
	if info.Description == "" {
		info.Description = c.Name
	}
	if info.Logo == "" {
		info.Logo = c.BaseURL + "/logo.png"
	}
	if len(info.AuthType) == 0 {
		info.AuthType = []string{"oauth2code", "oauth2client"}
	}
	if c.Explicit != nil {
		info.Methods = append(info.Methods, csc.MethodAuthorize)
	}
	if c.Timestamps {
		info.Methods = append(info.Methods, csc.MethodTimestamp)
	}
	endpoints := c.OAuthEndpoints
	if len(endpoints) == 0 {
		endpoints = []string{csc.EndpointAuthorize, csc.EndpointPushedAuthorize, csc.EndpointToken, csc.EndpointRevoke}
	}
	info.Methods = append(info.Methods, endpoints...)
	return info
}

// oids lists the algorithms' identifiers once each, those that need no
// parameters first: some clients take the first.
func oids(algs []signing.Algorithm) []string {
	if len(algs) == 0 {
		algs = append(signing.P256.Algorithms(), signing.RSA3072.Algorithms()...)
	}
	var plain, pss []string
	for _, a := range algs {
		list := &plain
		if a.PSS() {
			list = &pss
		}
		if !slices.Contains(*list, a.OID()) {
			*list = append(*list, a.OID())
		}
	}
	return append(plain, pss...)
}

func (s *Server) serveInfo(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodPost {
		p, err := s.parameters(w, r)
		if err != nil {
			return err
		}
		if _, err := p.optionalString("lang"); err != nil {
			return err
		}
	}
	_ = writeBody(w, http.StatusOK, "application/json", s.info)
	return nil
}

func serveLogo(w http.ResponseWriter, _ *http.Request) error {
	_ = writeBody(w, http.StatusOK, "image/png", logo)
	return nil
}

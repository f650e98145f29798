package cscserver

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/web"
	"github.com/countersign/countersign/signing"
)

// credentialsAuthorize is credentials/authorize (CSC API v2.0 §11.6, v2.2 §11.8) for
// the one object that is taken here: a machine's order, in band.
func (s *Server) credentialsAuthorize(r *request) (any, error) {
	if r.by.Scope != csc.ScopeService {
		return nil, csc.ErrInsufficientScope
	}
	q, err := r.authorizeRequest(r.by)
	if err != nil {
		return nil, err
	}
	web.Annotate(r.ctx(), "hashes", len(q.Hashes))
	return s.config.Explicit.CredentialsAuthorize(r.ctx(), r.by, q)
}

func (p parameters) authorizeRequest(by csc.Caller) (*csc.AuthorizeRequest, error) {
	var q csc.AuthorizeRequest
	var err error
	if q.CredentialID, err = p.credentialID(by); err != nil {
		return nil, err
	}
	if p["numSignatures"] == nil {
		return nil, csc.MissingParameter("integer", "numSignatures")
	}
	if json.Unmarshal(p["numSignatures"], &q.NumSignatures) != nil || q.NumSignatures < 1 {
		return nil, csc.InvalidParameter("numSignatures")
	}
	hashes, err := p.hashes("hashes")
	if err != nil {
		return nil, err
	}
	if q.NumSignatures != len(hashes) { // each hash is authorised once
		return nil, csc.InvalidParameter("numSignatures")
	}
	if q.HashAlgorithmOID, err = p.requiredString("hashAlgorithmOID"); err != nil {
		return nil, err
	}
	alg, err := signing.HashByOID(q.HashAlgorithmOID)
	if err != nil {
		return nil, csc.InvalidParameter("hashAlgorithmOID").Because(err)
	}
	for _, h := range hashes {
		if len(h) != alg.Size() {
			return nil, csc.ErrHashLength
		}
		q.Hashes = append(q.Hashes, base64.StdEncoding.EncodeToString(h))
	}
	q.AuthData, err = p.authData()
	return &q, err
}

// authData reads the authentication objects: exactly the one that credentials/info
// names.
func (p parameters) authData() ([]csc.AuthData, error) {
	var list []map[string]json.RawMessage
	raw := p["authData"]
	if raw == nil {
		return nil, csc.MissingParameter("array", "authData")
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list) != 1 {
		return nil, csc.ErrAuthenticationData.Because(fmt.Errorf("%d objects: %w", len(list), err))
	}
	var d csc.AuthData
	for name, to := range map[string]*string{"id": &d.ID, "value": &d.Value} {
		if list[0][name] == nil || json.Unmarshal(list[0][name], to) != nil {
			return nil, csc.ErrAuthenticationData
		}
	}
	if d.ID != csc.DelegationObject {
		return nil, csc.ErrAuthenticationData
	}
	return []csc.AuthData{d}, nil
}

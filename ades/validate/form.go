package validate

import (
	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/ades/pdf"
)

const (
	subFilterPAdES = "ETSI.CAdES.detached"
	subFilterPKCS7 = "adbe.pkcs7.detached"
	subFilterSHA1  = "adbe.pkcs7.sha1"
)

// judgeForm checks the signature dictionary and the CMS against what the
// SubFilter promises (EN 319 142-1 §6, ISO 32000-2 §12.8).
func (d *document) judgeForm(j *subject, s *pdf.Signature) {
	before := len(j.p)
	switch s.SubFilter {
	case subFilterPAdES:
		judgePAdES(j, s)
	case subFilterPKCS7, subFilterSHA1:
		judgePKCS7(j, s)
	default:
		j.p.doubt(Generic, "the SubFilter "+string(s.SubFilter)+" is not known here")
	}
	j.formBroken = len(j.p) > before
	for _, r := range s.References {
		if r.Method == "DocMDP" {
			j.Certifies = r.P
		}
	}
}

func judgePAdES(j *subject, s *pdf.Signature) {
	constraint := func(text string) { j.p.doubt(SigConstraintsFailure, text) }
	switch {
	case s.M == "":
		constraint("the signature dictionary has no /M, which PAdES demands")
	case s.Time.IsZero():
		constraint("the signature dictionary's /M is no date")
	}
	if s.Filter == "" {
		constraint("the signature dictionary has no /Filter")
	}
	if s.HasCert {
		constraint("the signature dictionary has /Cert, which PAdES forbids")
	}
	if a := j.info.Signed; a != nil && s.Dict.Has("Reason") && (len(a.Commitments) > 0 || a.Policy != "") {
		constraint("the signature dictionary has /Reason beside a commitment type or signature policy")
	}
	judgeCMS(j, true)
}

func judgePKCS7(j *subject, s *pdf.Signature) {
	if j.ClaimedTime.IsZero() && j.info.Signed != nil && j.info.Signed.SigningTime != nil {
		j.ClaimedTime = *j.info.Signed.SigningTime
	}
	if j.ClaimedTime.IsZero() {
		j.p.doubt(SigConstraintsFailure, "neither /M nor a signing-time attribute says when it was signed")
	}
	judgeCMS(j, false)
	if s.SubFilter == subFilterPKCS7 && j.sd.Content != nil {
		j.p.fail(FormatFailure, "the detached signature encapsulates content of its own")
	}
}

// judgeCMS weighs the parser's findings. Baseline is stricter than what
// RFC 5652 alone demands.
func judgeCMS(j *subject, baseline bool) {
	if baseline && j.sd.Content != nil {
		j.p.fail(FormatFailure, "the detached signature encapsulates content of its own")
	}
	if baseline && j.sd.ContentType != cms.OIDData {
		j.p.doubt(SigConstraintsFailure, "the CMS is over content of another type than id-data")
	}
	for _, f := range append(append([]cms.Finding{}, j.sd.Findings...), j.info.Findings...) {
		switch f.Code {
		case cms.NotOneSigner, cms.NoContentType, cms.NoMessageDigest, cms.BadContentType, cms.Encapsulated:
			j.p.fail(FormatFailure, f.Detail)
		case cms.AttributesUnsorted, cms.AttributeRepeated, cms.AttributeMalformed, cms.AlgorithmMismatch, cms.TrailingBytes:
			j.p.doubt(SigConstraintsFailure, f.Detail)
		case cms.NotDER, cms.NoSignedAttributes, cms.SigningTimePresent, cms.NoSigningCertificate, cms.SignerCertificateMissing, cms.BadVersion, cms.DigestAlgorithmUnlisted:
			if baseline {
				j.p.doubt(SigConstraintsFailure, f.Detail)
			} else if f.Code != cms.SigningTimePresent {
				j.Notes = append(j.Notes, f.Detail)
			}
		case cms.CertificateUnreadable, cms.RevocationUnreadable:
			j.Notes = append(j.Notes, f.Detail)
		case cms.AlgorithmUnknown:
			// said when the signature is verified
		}
	}
}

// level names the level reached. T counts intact time-stamps, whoever made them,
// as levels speak of form; whether they prove anything is in the verdict.
func (d *document) level(j *subject, s *pdf.Signature) {
	stamped := j.stamped(SignatureTimestamp, DocumentTimestamp)
	level := "B"
	switch long := stamped && d.dss > 0 && j.longTerm(); {
	case long && d.stampedAfterDSS(s):
		level = "LTA"
	case long:
		level = "LT"
	case stamped:
		level = "T"
	}
	switch {
	case s.SubFilter == subFilterPKCS7 || s.SubFilter == subFilterSHA1:
		j.Level = "PKCS7-" + level
	case s.SubFilter != subFilterPAdES || j.info.Signed == nil || len(j.info.Signed.CertIDs) == 0:
		j.Level = "PDF-NOT-ETSI"
	case j.formBroken:
		j.Level = "PAdES-BES"
	default:
		j.Level = "PAdES-B-" + level
	}
}

// stampedAfterDSS reports whether an intact document time-stamp covers both the
// signature and the first DSS.
func (d *document) stampedAfterDSS(s *pdf.Signature) bool {
	for _, t := range d.stamps {
		if t.intact && t.Revision > s.Revision && t.Revision >= d.dss {
			return true
		}
	}
	return false
}

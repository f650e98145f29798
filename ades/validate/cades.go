package validate

import (
	"bytes"
	"crypto"
	"fmt"
	"io"

	"github.com/countersign/countersign/ades/cms"
	"github.com/countersign/countersign/internal/fault"
)

// oidArchiveTimestamps are the archive time-stamps of CAdES. Which bytes they are
// over is not computed here, so they never raise a level.
var oidArchiveTimestamps = []string{"0.4.0.1733.2.4", "1.2.840.113549.1.9.16.2.27", "1.2.840.113549.1.9.16.2.48"}

// maxCMS is the size of a signature file that is still read.
const maxCMS = 32 << 20

// CMS judges a CAdES signature in a file of its own. content is what a detached
// signature is over; it is read once for every signer, so it must be seekable. It
// is nil for a signature that carries its content. Report and error are as for File.
func CMS(signature []byte, content io.ReadSeeker, o Options) (*Report, error) {
	report := &Report{Now: o.now(), Trusted: len(o.Anchors) > 0}
	err := judgeCMSFile(report, signature, content, o)
	if err != nil {
		report.Signatures = nil
		report.Error = fault.Of(err).Detail
	}
	return report, err
}

func judgeCMSFile(report *Report, signature []byte, content io.ReadSeeker, o Options) error {
	if len(signature) > maxCMS {
		return fault.New(fault.Invalid, "the signature file is larger than %d bytes", maxCMS)
	}
	sd, err := cms.ParseSignedData(signature)
	if err != nil {
		return fault.New(fault.Invalid, "this is no CMS signature").Because(err)
	}
	if len(sd.Signers) == 0 {
		return fault.New(fault.Invalid, "the CMS holds no signature").WithCode("no_signature").Because(ErrNoSignature)
	}
	if sd.Content == nil && content == nil {
		return fault.New(fault.Invalid, "the signature is detached: name the signed file with --original").WithCode("original_needed")
	}
	if sd.Content != nil && content != nil {
		same, err := sameContent(sd.Content, content)
		if err != nil {
			return fmt.Errorf("read the signed file: %w", err)
		}
		if !same {
			return fault.New(fault.Invalid, "the signature carries content of its own, and the given file is another").WithCode("other_original")
		}
	}
	e := o.evidence()
	e.addSignedData(sd, source{embedded: true})
	for i, info := range sd.Signers {
		var ioErr error
		s := judgeSigner(e, sd, info, contentDigest(sd, content, &ioErr))
		if ioErr != nil {
			return fmt.Errorf("read the signed file: %w", ioErr)
		}
		s.Field = fmt.Sprintf("signer %d", i+1)
		report.Signatures = append(report.Signatures, s)
	}
	return nil
}

func judgeSigner(e *evidence, sd *cms.SignedData, info *cms.SignerInfo, digest func(crypto.Hash) ([]byte, error)) *Signature {
	out := &Signature{Covers: "the whole original file", WholeDocument: true}
	if sd.Content != nil {
		out.Covers = "the content inside the signature"
	}
	j := &subject{Signature: out, e: e, sd: sd, info: info, digest: digest}
	if info.Signed != nil && info.Signed.SigningTime != nil {
		out.ClaimedTime = *info.Signed.SigningTime
	}
	before := len(j.p)
	j.judgeCAdES()
	j.formBroken = len(j.p) > before
	j.verifyBytes()
	j.verifyTimestamps()
	j.verifyTrust()
	j.cadesLevel()
	j.conclude()
	return out
}

// contentDigest digests the encapsulated content, or else the given one, and
// notes a failure to read it.
func contentDigest(sd *cms.SignedData, content io.ReadSeeker, ioErr *error) func(crypto.Hash) ([]byte, error) {
	return func(h crypto.Hash) ([]byte, error) {
		w := h.New()
		if sd.Content != nil {
			w.Write(sd.Content)
			return w.Sum(nil), nil
		}
		if _, *ioErr = content.Seek(0, io.SeekStart); *ioErr != nil {
			return nil, *ioErr
		}
		if _, *ioErr = io.Copy(w, content); *ioErr != nil {
			return nil, *ioErr
		}
		return w.Sum(nil), nil
	}
}

// sameContent compares the encapsulated content with a file.
func sameContent(inside []byte, file io.ReadSeeker) (bool, error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	given, err := io.ReadAll(io.LimitReader(file, int64(len(inside))+1))
	return bytes.Equal(given, inside), err
}

// judgeCAdES weighs the form against the CAdES baseline (EN 319 122-1 §6.3).
func (s *subject) judgeCAdES() {
	for _, f := range append(append([]cms.Finding{}, s.sd.Findings...), s.info.Findings...) {
		switch f.Code {
		case cms.NoContentType, cms.NoMessageDigest, cms.BadContentType:
			s.p.fail(FormatFailure, f.Detail)
		case cms.AttributesUnsorted, cms.AttributeRepeated, cms.AttributeMalformed, cms.AlgorithmMismatch, cms.TrailingBytes,
			cms.NoSignedAttributes, cms.NoSigningCertificate, cms.SignerCertificateMissing:
			s.p.doubt(SigConstraintsFailure, f.Detail)
		case cms.NotDER, cms.BadVersion, cms.DigestAlgorithmUnlisted, cms.CertificateUnreadable, cms.RevocationUnreadable:
			s.Notes = append(s.Notes, f.Detail)
		case cms.NotOneSigner, cms.SigningTimePresent, cms.Encapsulated, cms.AlgorithmUnknown:
			// allowed here, or said when the signature is verified
		}
	}
	if s.ClaimedTime.IsZero() {
		s.p.doubt(SigConstraintsFailure, "the signing-time attribute is missing, which CAdES baseline demands")
	}
}

func (s *subject) cadesLevel() {
	if s.formBroken {
		s.Level = "CAdES-BES"
		if s.info.Signed == nil || len(s.info.Signed.CertIDs) == 0 {
			s.Level = "CMS-NOT-ETSI"
		}
		return
	}
	s.Level = "CAdES-B-B"
	if s.stamped(SignatureTimestamp) {
		s.Level = "CAdES-B-T"
		if s.longTerm() {
			s.Level = "CAdES-B-LT"
		}
	}
	for _, oid := range s.info.Unsigned {
		for _, archive := range oidArchiveTimestamps {
			if oid == archive {
				s.Notes = append(s.Notes, "an archive time-stamp is there, which is not judged here")
			}
		}
	}
}

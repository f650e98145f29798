package sam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign/internal/store"
	"github.com/countersign/countersign/internal/store/storetest"
	"github.com/countersign/countersign/sam/samapi"
	"github.com/countersign/countersign/sam/samtest"
)

// swap exchanges a column between two rows, as an administrator of the database
// could.
func swap(r *samtest.Rig, table, column, a, b string) {
	r.TB.Helper()
	// Unique columns forbid the direct way: a third value stands in between.
	r.Exec(fmt.Sprintf(`CREATE TABLE swapped AS SELECT id, %s AS v FROM %s WHERE id IN ('%s', '%s')`, column, table, a, b))
	if slices.Contains([]string{"spki", "cert_hash"}, column) {
		for _, index := range []string{"sam_credential_spki", "sam_credential_cert", "sam_authenticator_spki"} {
			r.Exec(`DROP INDEX IF EXISTS ` + index)
		}
	}
	r.Exec(fmt.Sprintf(`UPDATE %s SET %s = (SELECT v FROM swapped WHERE id = '%s') WHERE id = '%s'`, table, column, b, a))
	r.Exec(fmt.Sprintf(`UPDATE %s SET %s = (SELECT v FROM swapped WHERE id = '%s') WHERE id = '%s'`, table, column, a, b))
	r.Exec(`DROP TABLE swapped`)
}

// TestSwappedColumnsAreNoticed exchanges each column of two credentials and two
// devices, alone and together with the MAC, and asks the module to sign.
func TestSwappedColumnsAreNoticed(t *testing.T) {
	t.Attr("control", "D32")
	t.Attr("control", "B09")
	for _, row := range []struct{ table, columns string }{
		{"sam_credential", "blob"},
		{"sam_credential", "chain"},
		{"sam_credential", "chain cert_hash"},
		{"sam_credential", "signer"},
		{"sam_credential", "spki"},
		{"sam_credential", "spki blob"},
		{"sam_credential", "spki blob chain cert_hash"},
		{"sam_credential", "mac"},
		{"sam_credential", "blob mac"},
		{"sam_credential", "signer mac"},
		{"sam_credential", "spki blob chain cert_hash signer mac"},
		{"sam_authenticator", "signer"},
		{"sam_authenticator", "spki"},
		{"sam_authenticator", "pin"},
		{"sam_authenticator", "mac"},
		{"sam_authenticator", "spki pin mac"},
		{"sam_authenticator", "spki pin signer mac"},
		{"sam_signer", "subject"},
		{"sam_signer", "subject mac"},
	} {
		t.Run(row.table+" "+row.columns, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				faults := &samtest.Faults{}
				r := samtest.New(t, db, samtest.Config{Wrap: faults.Around})
				a, b := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
				h := samtest.Hash("x")
				approved, pending := r.Approved(a, h), r.Request(a, h)
				id := map[string][2]string{
					"sam_credential":    {a.Credential, b.Credential},
					"sam_authenticator": {a.Device.ID, b.Device.ID},
					"sam_signer":        {a.ID, b.ID},
				}[row.table]
				for column := range strings.FieldsSeq(row.columns) {
					swap(r, row.table, column, id[0], id[1])
				}
				_, err := r.Begin(t.Context(), r.Intent(a, h))
				refused(t, err, samapi.CodeRecordTampered)
				if row.table != "sam_signer" { // names do not matter any more then
					_, err = r.Approve(t.Context(), pending.SID, a.Yes(pending))
					refused(t, err, samapi.CodeRecordTampered)
					_, err = r.Sign(t.Context(), r.SignRequest(a, approved, h))
					refused(t, err, samapi.CodeRecordTampered)
				}
				if n := faults.Used("open"); n != 0 {
					t.Errorf("a key was opened %d times", n)
				}
				if !slices.Contains(r.Events(""), "record.tampered") {
					t.Error("no event record.tampered")
				}
				v, err := r.Verify(t.Context())
				if err != nil || len(v.Findings) < 2 {
					t.Errorf("verify finds %v, %v; want both rows", v.Findings, err)
				}
			})
		})
	}
}

// TestAdministratorOfTheDatabaseCannotSign: whoever may write every table and call
// every operation, and has no device, gets no signature.
func TestAdministratorOfTheDatabaseCannotSign(t *testing.T) {
	t.Attr("control", "D26")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		faults := &samtest.Faults{}
		r := samtest.New(t, db, samtest.Config{Wrap: faults.Around, Limits: noLimits})
		a, b := r.Person(samtest.Wish{}), r.Person(samtest.Wish{})
		h := samtest.Hash("x")

		forged := r.Request(a, h)
		r.Exec(`UPDATE sam_request SET state = 'approved', ended = issued, redeem_until = expires, authenticator = $1 WHERE sid = $2`, a.Device.ID, forged.SID)
		_, err := r.Sign(t.Context(), r.SignRequest(a, forged, h))
		refused(t, err, samapi.CodeRecordTampered)

		// The approval of another request, copied.
		true_ := r.Approved(a, samtest.Hash("other"))
		r.Exec(`UPDATE sam_request SET (state, ended, redeem_until, authenticator, assertion, approval_mac) =
			(SELECT state, ended, redeem_until, authenticator, assertion, approval_mac FROM sam_request WHERE sid = $1) WHERE sid = $2`, true_.SID, forged.SID)
		_, err = r.Sign(t.Context(), r.SignRequest(a, forged, h))
		refused(t, err, samapi.CodeRecordTampered)

		// A longer life for an approval.
		r.Exec(`UPDATE sam_request SET redeem_until = redeem_until + 1 WHERE sid = $1`, true_.SID)
		_, err = r.Sign(t.Context(), r.SignRequest(a, true_, samtest.Hash("other")))
		refused(t, err, samapi.CodeRecordTampered)

		// The administrator's own device, given to the victim.
		r.Exec(`UPDATE sam_authenticator SET signer = $1 WHERE id = $2`, a.ID, b.Device.ID)
		_, err = r.Begin(t.Context(), r.Intent(a, h))
		refused(t, err, samapi.CodeRecordTampered)
		r.Exec(`UPDATE sam_authenticator SET signer = $1 WHERE id = $2`, b.ID, b.Device.ID)

		// The victim's key, given to the administrator.
		r.Exec(`UPDATE sam_credential SET signer = $1 WHERE id = $2`, b.ID, a.Credential)
		_, err = r.Begin(t.Context(), r.Intent(a, h))
		refused(t, err, samapi.CodeRecordTampered)
		r.Exec(`UPDATE sam_credential SET signer = $1 WHERE id = $2`, a.ID, a.Credential)

		// A registration authority of one's own.
		own := samtest.Key(t)
		r.Exec(`UPDATE sam_authority SET spki = $1`, spki(t, own))
		o := samapi.RevokeDevice{Order: r.Order(), Authenticator: a.Device.ID}
		order := r.SealWith(own, samapi.DomainRevokeDevice, o)
		order.Key = r.Seal(samapi.DomainRevokeDevice, o).Key
		refused(t, r.RevokeDevice(t.Context(), order), samapi.CodeRecordTampered)

		// Another way back.
		q := r.Request(a, h)
		if err := r.Reject(t.Context(), q.SID, q.View, ""); err != nil {
			t.Fatal(err)
		}
		r.Exec(`UPDATE sam_gateway SET return_url = 'https://mallory.example/'`)
		_, err = r.Return(t.Context(), q.SID, q.View)
		refused(t, err, samapi.CodeRecordTampered)
		if n := faults.Used("open"); n != 0 {
			t.Errorf("a key was opened %d times", n)
		}
	})
}

// TestOldRecordsCannotBePutBack restores the rows of a backup: of a device that was
// revoked, of a key that was suspended and one that was destroyed.
func TestOldRecordsCannotBePutBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{Limits: noLimits})
		p := r.Person(samtest.Wish{})
		h := samtest.Hash("x")
		approved := r.Approved(p, h, h)
		kept := func(table string) { r.Exec(`CREATE TABLE kept_` + table + ` AS SELECT * FROM sam_` + table) }
		restore := func(table string) {
			r.Exec(`DELETE FROM sam_` + table)
			r.Exec(`INSERT INTO sam_` + table + ` SELECT * FROM kept_` + table)
		}
		kept("credential")
		kept("head")
		if err := r.DestroyKey(t.Context(), r.Seal(samapi.DomainDestroyKey, samapi.DestroyKey{Order: r.Order(), Credential: p.Credential})); err != nil {
			t.Fatal(err)
		}
		restore("credential")
		_, err := r.Sign(t.Context(), r.SignRequest(p, approved, h))
		refused(t, err, samapi.CodeRecordTampered)
		_, err = r.Begin(t.Context(), r.Intent(p, h))
		refused(t, err, samapi.CodeRecordTampered)
		r.Restart() // it does not depend on memory
		_, err = r.Begin(t.Context(), r.Intent(p, h))
		refused(t, err, samapi.CodeRecordTampered)

		// With the heads put back too, memory remembers as long as the process
		// lives, and the log always.
		restore("head")
		v, err := r.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Findings, func(f samapi.Finding) bool { return f.Kind == "credential" && f.ID == p.Credential }) {
			t.Errorf("verify does not find the restored key: %+v", v)
		}
	})
}

func TestRestoredDeviceIsRefusedByMemoryAlone(t *testing.T) {
	r := samtest.New(t, storetest.SQLite(t), samtest.Config{Limits: noLimits})
	p := r.Person(samtest.Wish{})
	q := r.Request(p, samtest.Hash("x"))
	r.Exec(`CREATE TABLE kept AS SELECT * FROM sam_authenticator`)
	r.Exec(`CREATE TABLE heads AS SELECT * FROM sam_head`)
	order := samapi.RevokeDevice{Order: r.Order(), Authenticator: p.Device.ID}
	if err := r.RevokeDevice(t.Context(), r.Seal(samapi.DomainRevokeDevice, order)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Devices(t.Context(), p.ID); err != nil { // the module has seen it
		t.Fatal(err)
	}
	r.Exec(`DELETE FROM sam_authenticator`)
	r.Exec(`INSERT INTO sam_authenticator SELECT * FROM kept`)
	r.Exec(`DELETE FROM sam_head`)
	r.Exec(`INSERT INTO sam_head SELECT * FROM heads`)
	_, err := r.Approve(t.Context(), q.SID, p.Yes(q))
	refused(t, err, samapi.CodeRecordTampered)
}

func TestVerifyIsSilentWhenNothingIsWrong(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := samtest.New(t, db, samtest.Config{})
		p := r.Person(samtest.Wish{})
		if _, err := r.Sign(t.Context(), r.SignRequest(p, r.Approved(p, samtest.Hash("x")), samtest.Hash("x"))); err != nil {
			t.Fatal(err)
		}
		v, err := r.Verify(t.Context())
		if err != nil || len(v.Findings) != 0 || v.LogError != "" || v.Records != 5 || v.LogSize == 0 {
			t.Errorf("verify: %+v, %v", v, err)
		}
		r.Exec(`DELETE FROM sam_authenticator`)
		if v, err = r.Verify(t.Context()); err != nil || len(v.Findings) != 1 || v.Findings[0].Kind != "authenticator" {
			t.Errorf("verify after a row was deleted: %+v, %v", v, err)
		}
	})
}

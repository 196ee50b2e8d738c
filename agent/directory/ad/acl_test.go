package ad

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
)

// storedGUID turns a GUID's text into its bytes.
func storedGUID(t *testing.T, text string) []byte {
	t.Helper()
	_, raw, err := ldapconn.ParseUUID(text)
	if err != nil {
		t.Fatal(err)
	}
	b := ldapconn.SwapGUID(raw)
	return b[:]
}

// rawACE is one entry; object and class are GUIDs or "".
func rawACE(t *testing.T, kind, flags byte, mask uint32, object, class, sid string) []byte {
	t.Helper()
	who, err := hex.DecodeString(sid)
	if err != nil {
		t.Fatal(err)
	}
	body := binary.LittleEndian.AppendUint32(nil, mask)
	if kind == aceAllowedObject || kind == aceDeniedObject {
		var present uint32
		var guids []byte
		for i, g := range []string{object, class} {
			if g != "" {
				present |= 1 << i
				guids = append(guids, storedGUID(t, g)...)
			}
		}
		body = append(binary.LittleEndian.AppendUint32(body, present), guids...)
	}
	body = append(body, who...)
	head := []byte{kind, flags, 0, 0}
	binary.LittleEndian.PutUint16(head[2:], uint16(len(head)+len(body)))
	return append(head, body...)
}

// editACL changes the access list of an object as the domain's administrator.
func editACL(t *testing.T, s *testenv.Samba, dn string, edit func(control uint16, aces [][]byte) (uint16, [][]byte)) {
	t.Helper()
	c := s.Admin(t)
	controls := []ldap.Control{&ldap.ControlMicrosoftSDFlags{Criticality: true, ControlValue: daclOnly}, ldap.NewControlMicrosoftShowDeleted()}
	r := ldapconn.Request(dn, ldap.ScopeBaseObject, 0, "(objectClass=*)", "nTSecurityDescriptor")
	r.Controls = controls
	found, err := c.Search(r)
	if err != nil || len(found.Entries) != 1 {
		t.Fatal(dn, err)
	}
	raw := found.Entries[0].GetRawAttributeValue("nTSecurityDescriptor")
	acl := raw[binary.LittleEndian.Uint32(raw[16:]):]
	rest := acl[aclHead:binary.LittleEndian.Uint16(acl[2:])]
	var aces [][]byte
	for range binary.LittleEndian.Uint16(acl[4:]) {
		n := binary.LittleEndian.Uint16(rest[2:])
		aces, rest = append(aces, rest[:n]), rest[n:]
	}
	control, aces := edit(binary.LittleEndian.Uint16(raw[2:]), aces)
	sd := []byte{1, 0, byte(control), byte(control >> 8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, descriptorHead, 0, 0, 0}
	body := slices.Concat(aces...)
	list := []byte{4, 0, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint16(list[2:], uint16(aclHead+len(body)))
	binary.LittleEndian.PutUint16(list[4:], uint16(len(aces)))
	m := ldap.NewModifyRequest(dn, controls)
	m.Replace("nTSecurityDescriptor", []string{string(slices.Concat(sd, list, body))})
	if err := c.Modify(m); err != nil {
		t.Fatal(dn, err)
	}
}

// grant puts entries into an access list, denials in front.
func grant(t *testing.T, s *testenv.Samba, dn string, entries ...[]byte) {
	t.Helper()
	editACL(t, s, dn, func(control uint16, aces [][]byte) (uint16, [][]byte) {
		for _, e := range entries {
			if e[0] == aceDenied || e[0] == aceDeniedObject {
				aces = append([][]byte{e}, aces...)
			} else {
				aces = append(aces, e)
			}
		}
		return control, aces
	})
}

// revoke takes every entry about somebody, and of an object's kind if one is named.
func revoke(t *testing.T, s *testenv.Samba, dn, sid, object string) {
	t.Helper()
	who, err := hex.DecodeString(sid)
	if err != nil {
		t.Fatal(err)
	}
	editACL(t, s, dn, func(control uint16, aces [][]byte) (uint16, [][]byte) {
		return control, slices.DeleteFunc(aces, func(a []byte) bool {
			return strings.HasSuffix(string(a), string(who)) && (object == "" || strings.Contains(string(a), string(storedGUID(t, object))))
		})
	})
}

// agentAccount makes a service account without any right and returns its SID in hex.
func agentAccount(t *testing.T, s *testenv.Samba, login string) (upn, dn, sid string) {
	t.Helper()
	dn, _ = s.AddPerson(t, "OU=Services,"+testenv.SambaBase, login, testenv.SambaServicePassword, nil)
	r, err := s.Admin(t).Search(ldapconn.Request(dn, ldap.ScopeBaseObject, 0, "(objectClass=*)", "objectSid"))
	if err != nil || len(r.Entries) != 1 {
		t.Fatal(err)
	}
	return login + "@corp.example", dn, hex.EncodeToString(r.Entries[0].GetRawAttributeValue("objectSid"))
}

package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/protocol"
)

// endsSoon is when the end of a certificate is spoken of.
const endsSoon = 21 * 24 * time.Hour

// directory looks at its servers one by one, signs in, and lists one page.
func (x *examination) directory(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 4*examineLife)
	defer cancel()
	dir, err := x.o.Open(ctx, x.o.Config.Kind(), x.o.Config.File, x.o.Log)
	if err != nil {
		x.found(areaDirectory, "settings", doctor.DirectorySettings, err)
		return
	}
	defer dir.Close()
	surveyor, _ := dir.(directory.Surveyor)
	if surveyor != nil && (!x.servers(ctx, surveyor) || !x.bases(ctx, surveyor)) {
		return
	}
	d, err := dir.Describe(ctx)
	if err != nil {
		x.unusable("sign-in", err)
		return
	}
	x.ok(areaDirectory, "sign-in", "%s (%s): signed in", d.Traits.Name, d.Kind)
	if surveyor != nil {
		x.targets(ctx, surveyor)
	}
	first, err := firstPage(ctx, dir)
	switch {
	case err != nil:
		x.unusable("accounts", err)
		return
	case len(first.Accounts) == 0:
		x.Found(areaDirectory, "accounts", doctor.NobodyListed, "the first page is empty")
	default:
		x.ok(areaDirectory, "accounts", "%d on the first page", len(first.Accounts))
	}
	x.guard(ctx, dir, d.Traits, first)
}

// faults are the findings of a server that does not serve.
var faults = map[directory.Fault]int{
	directory.FaultName: doctor.ServerName, directory.FaultConnection: doctor.ServerAway, directory.FaultEncryption: doctor.ServerNoTLS,
	directory.FaultAnswer: doctor.DirectoryUnusable,
}

// verdicts are the findings of a server's certificate.
var verdicts = map[doctor.Verdict]int{
	doctor.Untrusted: doctor.ServerUntrusted, doctor.OtherName: doctor.ServerOtherName, doctor.NotNow: doctor.ServerCertOld,
}

// servers reports whether of each part of the directory at least one server lets the
// agent in.
func (x *examination) servers(ctx context.Context, s directory.Surveyor) bool {
	all, err := s.Servers(ctx)
	if err != nil {
		x.found(areaDirectory, "servers", doctor.ServerName, err)
		return false
	}
	serving := map[int]bool{}
	for _, one := range all {
		serving[one.Part] = serving[one.Part] || one.Fault == ""
	}
	for _, one := range all {
		x.server(one, serving[one.Part])
		if len(all) == 1 {
			x.otherName(one)
		}
	}
	for _, part := range serving {
		if !part {
			return false
		}
	}
	return len(all) > 0
}

// server notes one server. others says that another one serves.
func (x *examination) server(s directory.Server, others bool) {
	if s.Fault == "" {
		x.serving(s)
		return
	}
	number, lines := faults[s.Fault], []string(nil)
	detail := doctor.OneLine(withoutAddresses(s.Err.Error()))
	switch s.Fault {
	case directory.FaultCertificate:
		verdict, chain := doctor.Judge(s.Err)
		number, lines = verdicts[verdict], doctor.Chain(chain)
	case directory.FaultSignIn:
		number = numberOf(s.Err)
	}
	if others {
		lines = append([]string{fmt.Sprintf("as the only server this would be %d: %s", number, doctor.ByNumber(number).Fix)}, lines...)
		number = doctor.OneServerAway
	}
	if number == doctor.ServerUntrusted {
		lines = append(lines, "this needs the certificate of the authority that issued it, as its administrator gives it: beside the agent's file, by the name that the line below has",
			"(a controller of Samba keeps it in private/tls/ca.pem; on Windows, certutil -ca.cert writes it)")
	}
	x.Found(areaDirectory, "server "+s.URL, number, detail, lines...)
	if number == doctor.ServerUntrusted {
		x.Write("directory", `ca_file = "directory-ca.pem"`)
	}
}

// otherName prints the line for a server whose certificate is for another name than the
// one by which it is asked. With several servers there is no one name for all.
func (x *examination) otherName(s directory.Server) {
	verdict, chain := doctor.Judge(s.Err)
	if verdict != doctor.OtherName || len(chain) == 0 {
		return
	}
	for _, name := range chain[0].DNSNames {
		if !strings.HasPrefix(name, "*.") {
			x.Write("directory", "server_name = "+strconv.Quote(name))
			return
		}
	}
}

// serving notes a server that lets the agent in, and when its certificate ends.
func (x *examination) serving(s directory.Server) {
	detail := fmt.Sprintf("%s lets the agent in within %d ms", s.Address, s.Took.Milliseconds())
	if len(s.Chain) == 0 {
		x.ok(areaDirectory, "server "+s.URL, "%s, without TLS", detail)
		return
	}
	if left := time.Until(s.Chain[0].NotAfter); left < endsSoon {
		x.Found(areaDirectory, "server "+s.URL, doctor.ServerCertEnds, fmt.Sprintf("%s; its certificate ends in %d days", detail, int(left.Hours()/24)), doctor.Chain(s.Chain)...)
		return
	}
	x.OK(areaDirectory, "server "+s.URL, detail, doctor.Chain(s.Chain)...)
}

// refusals are the findings of refused sign-ins.
var refusals = map[directory.Refusal]int{
	directory.RefusedPassword: doctor.SignInWrong, directory.RefusedLocked: doctor.SignInLocked, directory.RefusedDisabled: doctor.SignInDisabled,
	directory.RefusedExpired: doctor.SignInEnded, directory.RefusedPasswordExpired: doctor.SignInPasswordOld, directory.RefusedMustChange: doctor.SignInMustChange,
	directory.RefusedHours: doctor.SignInElsewhere, directory.RefusedWorkstation: doctor.SignInElsewhere, directory.RefusedBinding: doctor.SignInElsewhere,
	directory.RefusedUnread: doctor.PasswordUnread,
}

// numberOf is the finding of an error of a directory.
func numberOf(err error) int {
	var why directory.Refusal
	if errors.As(err, &why) && refusals[why] != 0 {
		return refusals[why]
	}
	switch protocol.CodeOf(err) {
	case protocol.CodeServiceAuthentication:
		return doctor.SignInWrong
	case protocol.CodePermissionDenied:
		return doctor.DirectoryForbids
	case protocol.CodeUnavailable:
		return doctor.ServerAway
	}
	return doctor.DirectoryUnusable
}

// unusable notes an error of the directory.
func (x *examination) unusable(what string, err error) {
	x.found(areaDirectory, what, numberOf(err), err)
}

// shownBelow bounds how many entries of a branch are named.
const shownBelow = 12

// bases reports whether every base DN of the file exists.
func (x *examination) bases(ctx context.Context, s directory.Surveyor) bool {
	all, err := s.Bases(ctx)
	if err != nil {
		x.unusable("base DNs", err)
		return false
	}
	meant := x.meant(ctx, s, all)
	type list struct {
		part int
		key  string
	}
	well, told := true, map[list]bool{}
	for i, b := range all {
		if b.Found {
			x.ok(areaDirectory, "base DN", "%s", b.DN)
			continue
		}
		well = false
		x.missing(areaDirectory, "base DN", doctor.NoSuchBase, b, meant[i])
		if line := listed(b, all, meant); line != "" && !told[list{b.Part, b.Key}] {
			x.Write(tableOf(b), line)
			told[list{b.Part, b.Key}] = true
		}
	}
	return well
}

// meant are the DNs that branches are, or were probably meant to be: "" for those of
// which nobody knows.
func (x *examination) meant(ctx context.Context, s directory.Surveyor, all []directory.Base) []string {
	dns := make([]string, len(all))
	for i, b := range all {
		for range maxMended { // what is mended above may be wrong below
			if b.Found {
				dns[i] = b.DN
				break
			}
			next := doctor.Mended(b.DN, b.Near, b.Below)
			if next == "" {
				break
			}
			found, err := s.Branches(ctx, next)
			if err != nil || len(found) != 1 {
				break
			}
			b = found[0]
		}
	}
	return dns
}

// maxMended bounds how often one DN is looked at.
const maxMended = 4

// missing notes a branch that does not exist, and what does.
func (x *examination) missing(area, what string, number int, b directory.Base, meant string) {
	var lines []string
	if meant != "" {
		lines = append(lines, "almost the same is "+doctor.OneLine(meant))
	}
	if b.Near != "" {
		lines = append(lines, "what exists is "+doctor.OneLine(b.Near)+", with:")
	} else if len(b.Below) > 0 {
		lines = append(lines, "what exists is the server itself, with:")
	}
	for _, dn := range b.Below[:min(len(b.Below), shownBelow)] {
		lines = append(lines, "  "+doctor.OneLine(dn))
	}
	if more := len(b.Below) - shownBelow; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", more))
	}
	if b.Part > 0 {
		lines = append(lines, fmt.Sprintf("it stands in the table [[directory.domains]] number %d of the file", b.Part))
	}
	x.Found(area, what, number, b.DN+" does not exist, or the agent's account cannot see it", lines...)
}

// tableOf names the table of the agent's file that has the list of a branch.
func tableOf(b directory.Base) string {
	if b.Part == 0 {
		return "directory"
	}
	return "directory.domains"
}

// listed is the line of the agent's file with the list that has a branch as it was meant;
// "" if that is not known of each.
func listed(of directory.Base, all []directory.Base, meant []string) string {
	var dns []string
	for i, b := range all {
		switch {
		case b.Key != of.Key || b.Part != of.Part:
		case meant[i] == "":
			return ""
		default:
			dns = append(dns, strconv.Quote(meant[i]))
		}
	}
	return of.Key + " = [" + strings.Join(dns, ", ") + "]"
}

// targets say where changes go, and whether the clocks there agree.
func (x *examination) targets(ctx context.Context, s directory.Surveyor) {
	all, err := s.Targets(ctx)
	if err != nil {
		x.unusable("changes", err)
		return
	}
	for _, t := range all {
		x.target(t)
	}
}

func (x *examination) target(t directory.Target) {
	switch {
	case t.Wanted != "":
		x.Found(areaDirectory, "changes", doctor.WriterMissing, "the "+t.Role+" is "+t.Wanted)
	case t.Role != "":
		x.ok(areaDirectory, "changes", "go to %s, the %s", t.Server, t.Role)
	default:
		x.ok(areaDirectory, "changes", "go to the first server that answers")
	}
	if t.Clock.IsZero() {
		return
	}
	if skew := t.Asked.Sub(t.Clock).Round(time.Second); skew.Abs() > maxSkew {
		x.Found(areaDirectory, "clock", doctor.DirectoryClock, "this machine is "+ahead(skew)+" the directory")
	} else {
		x.ok(areaDirectory, "clock", "within %v of the directory's", skew.Abs()+time.Second)
	}
}

// errEnough ends a listing after its first page.
var errEnough = errors.New("agent: one page is enough")

func firstPage(ctx context.Context, dir directory.Reader) (directory.Page, error) {
	var first directory.Page
	_, err := dir.List(ctx, directory.Once, defaultPage, func(p directory.Page) error {
		first = p
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return first, err
}

// named finds an account by identifier, else by immutable id.
func named(ctx context.Context, dir directory.Reader, name string) ([]protocol.Account, error) {
	found, err := dir.Get(ctx, protocol.Ref{Identifier: strings.TrimSpace(name)})
	if err == nil && len(found) > 0 {
		return found, nil
	}
	found, err = dir.Get(ctx, protocol.Ref{ID: strings.TrimSpace(name)})
	if protocol.CodeOf(err) == protocol.CodeBadRequest {
		return nil, nil // it has not the form of an id
	}
	return found, err
}

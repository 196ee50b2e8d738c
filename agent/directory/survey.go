package directory

import (
	"context"
	"crypto/x509"
	"time"
)

// A Surveyor can be looked into when something is wrong. It is for people who set an agent
// up: what it says stays on the agent's machine. It changes nothing.
type Surveyor interface {
	// Servers looks at each server of the file alone, in the order of preference. The error
	// says that the list of servers could not be had.
	Servers(ctx context.Context) ([]Server, error)
	// Bases looks at each base DN of the file.
	Bases(ctx context.Context) ([]Base, error)
	// Branches looks at entries that are named, in that order.
	Branches(ctx context.Context, dns ...string) ([]Base, error)
	// Targets say where changes go, one for each part: the server, and the one where they
	// should go if that is not among those of the file.
	Targets(ctx context.Context) ([]Target, error)
}

// A Fault is how far a server was reached.
type Fault string

// Faults of a server, in the order in which they are met; "" serves.
const (
	FaultName        Fault = "name"        // it is not found
	FaultConnection  Fault = "connection"  // nobody answers
	FaultEncryption  Fault = "encryption"  // who answers speaks no TLS
	FaultCertificate Fault = "certificate" // it is not trusted; the error's chain has a *tls.CertificateVerificationError
	FaultSignIn      Fault = "sign_in"
	FaultAnswer      Fault = "answer" // it lets the agent in, and then does not answer
)

// A Server is what one server showed.
type Server struct {
	URL string
	// Part numbers what of the directory it has, where no server has all of it: each part
	// needs one that serves. 0 where there is one part.
	Part    int
	Address string              // that answered, "ip:port"
	Chain   []*x509.Certificate // shown and trusted; nil without TLS
	Fault   Fault
	Err     error         // nil without a fault
	Took    time.Duration // to connect, to encrypt and to sign in
}

// A Base is a branch of the file.
type Base struct {
	DN    string
	Key   string // of the list in the table [directory] that has it; "" if it is of none, or of a table within
	Part  int    // numbers the table that has that list, where there are several: 0 is [directory] itself, the others are those of further domains in their order
	Found bool
	Near  string   // the closest one above that exists; "" if none does
	Below []string // what stands there, a few hundred of them at most; naming contexts if Near is ""
}

// A Target is where changes go.
type Target struct {
	Server string // "" for whichever answers
	Role   string // as administrators call it: "PDC emulator"
	Wanted string // host that should get the changes and is not listed; "" if all is well
	Clock  time.Time
	Asked  time.Time // by the agent's clock, when Clock was read
}

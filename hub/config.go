package hub

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/postern-id/postern/protocol"
	"github.com/prometheus/client_golang/prometheus"
)

// Config is what an operator decides. Addresses are checked by whoever reads the
// configuration; the hub takes them as they are.
type Config struct {
	DataDir         string         // SQLite, keys and copies of certificates; made if it does not exist
	MasterKeyFile   string         // 32 bytes, raw or in hex; "": a file in DataDir, made at the first start
	StoreURL        string         // postgres://…; "": SQLite in DataDir
	RedisURL        string         // redis://…; "": one node, in-process
	PublicURL       string         // scheme and host without a path: console, API, agents
	CNAMETarget     string         // recovery domains point at <environment>.<this>
	SMTP            SMTP           // Host "": mails cannot be sent, which recoveries say
	Resolvers       []string       // host:port of the name servers that prove domains; nil: the system's
	FactorWait      time.Duration  // how long a new recovery option waits (T17); 0: 72 h, below 0: not at all (demonstrations)
	AuditRetention  time.Duration  // how long the audit log keeps the bytes of its leaves; 0: for ever
	WalletLink      string         // where pages lead people whose wallet is an app on the same device; "": openid4vp://
	EntraAuthority  string         // where the signing keys of Entra ID's tenants are fetched; "": at Microsoft (tests only)
	Signer          string         // unix//path of an agent that signs by keys outside of the hub (T11); "": none
	Places          string         // table of where addresses are, in the format MMDB; "": nobody knows
	PrivateWebhooks []netip.Prefix // private networks that webhooks may reach
	Version         string         // of the program, as agents are told; "": what its build says
	Log             *slog.Logger
	Registry        prometheus.Registerer // nil: no metrics
}

// SMTP is the mail route of the hub.
type SMTP struct {
	Host     string // host:port
	From     string
	User     string
	Password protocol.Secret
	TLS      string // SMTPStartTLS (also when empty), SMTPImplicit or SMTPOff
}

// How the mail route is encrypted.
const (
	SMTPStartTLS = "starttls"
	SMTPImplicit = "implicit"
	SMTPOff      = "off" // only for a mail server on the same machine
)

// Package layout keeps, as a test, the house rules that a compiler cannot: which
// package may import which, one owner for each third-party module, pure packages,
// comments on everything exported. Its tables are the written form of the
// architecture; sizes are printed, never failed.
package layout

// Module is the path of this module.
const Module = "github.com/postern-id/postern"

// mayImport lists, for each package tree, the trees of this module that it may use:
// "x/..." is x and everything below it, plain "x" only x itself. The longest match
// of the importer wins; a tree that is missing here may use none, and the rows of hub and
// agent, which wire everything, are of those two packages alone. Tests are free.
var mayImport = map[string][]string{
	"protocol":                       {"protocol/auditlog"},
	"protocol/seal":                  {"protocol"},
	"protocol/carrier":               {"protocol"},
	"protocol/auditlog":              {},
	"protocol/auditlog/auditlogtest": {"protocol/auditlog"},
	"protocol/match":                 {"protocol"},
	"protocol/evidence":              {"protocol"},
	"protocol/evidence/evidencetest": {"protocol", "protocol/evidence"},

	"agent":                         {"protocol/...", "agent/directory", "agent/settings", "agent/journal", "agent/guard", "agent/proof", "agent/known", "agent/witness", "agent/doctor", "agent/folder"},
	"agent/doctor":                  {},
	"agent/folder":                  {},
	"agent/proof":                   {"protocol/...", "agent/settings", "agent/directory"},
	"agent/known":                   {"agent/folder"},
	"agent/witness":                 {"protocol/auditlog", "agent/folder"},
	"agent/settings":                {"protocol"},
	"agent/journal":                 {"protocol", "agent/folder"},
	"agent/guard":                   {"protocol", "agent/directory"},
	"agent/directory":               {"protocol"},
	"agent/directory/ldapconn":      {"protocol", "agent/directory", "agent/settings"},
	"agent/directory/ldap":          {"protocol", "agent/directory", "agent/directory/ldapconn", "agent/settings"},
	"agent/directory/ad":            {"protocol", "agent/directory", "agent/directory/ldapconn", "agent/settings"},
	"agent/directory/command":       {"protocol", "agent/directory", "agent/settings"},
	"agent/directory/demo":          {"protocol", "agent/directory", "agent/directory/ldap", "agent/directory/ldapconn", "agent/settings"},
	"agent/directory/kinds":         {"protocol", "agent/directory/...", "agent/settings"},
	"agent/directory/directorytest": {"protocol", "agent/directory/...", "internal/testenv"},

	"hub":                 {"protocol/...", "hub/..."},
	"hub/policy":          {"protocol", "protocol/evidence"},
	"hub/token":           {"protocol", "hub/policy"},
	"hub/store":           {"protocol"},
	"hub/store/storetest": {"hub/store", "protocol", "internal/testenv"},
	"hub/coord":           {},
	"hub/ballast":         {},
	"hub/processors":      {},
	"hub/audit":           {"hub/store", "protocol/auditlog"},
	"hub/audit/audittest": {"hub/store", "hub/audit"},
	"hub/tunnel":          {"protocol/...", "hub/policy", "hub/coord", "hub/store", "hub/audit"},
	"hub/directory":       {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/coord"},
	"hub/domain":          {"hub/store"},
	"hub/place":           {},
	"hub/locale":          {},
	"hub/notify":          {"protocol", "hub/store", "hub/audit", "hub/locale"},
	"hub/webhook":         {"protocol", "hub/store", "hub/audit"},
	"hub/export":          {"hub/store", "hub/audit"},
	"hub/verify":          {"protocol/...", "hub/policy", "hub/store", "hub/verify/..."},
	"hub/factor":          {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/verify/..."},
	"hub/verify/approval": {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/verify"},
	"hub/verify/manual":   {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/verify"},
	"hub/verify/smscode":  {"protocol/...", "hub/policy", "hub/store", "hub/locale", "hub/verify"},
	"hub/verify/review":   {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/verify/..."},
	"hub/recovery":        {"protocol", "protocol/seal", "hub/directory", "hub/policy", "hub/store", "hub/audit"},
	"hub/operation":       {"protocol", "hub/recovery", "hub/factor", "hub/directory", "hub/policy", "hub/store", "hub/audit"},
	"hub/flow":            {"protocol", "protocol/evidence", "hub/operation", "hub/recovery", "hub/factor", "hub/directory", "hub/policy", "hub/store", "hub/audit", "hub/verify", "hub/token"},
	"hub/terminal":        {"hub/store", "hub/audit", "hub/policy"},
	"hub/staff":           {"protocol/...", "hub/store", "hub/audit"},
	"hub/evaluation":      {"protocol", "protocol/match", "hub/policy", "hub/store", "hub/directory", "hub/verify"},
	"hub/request":         {"protocol/...", "hub/policy", "hub/store", "hub/audit", "hub/verify", "hub/verify/capture"},
	"hub/signer":          {},
	"hub/party":           {"protocol", "hub/signer", "hub/request", "hub/store", "hub/audit"},
	"hub/oidc":            {"hub/party", "hub/request", "protocol/match", "hub/flow", "hub/recovery", "hub/policy", "hub/store", "hub/audit", "hub/brand", "hub/page", "hub/locale"},
	"hub/brand":           {},
	"hub/storage":         {"hub/store"},
	"hub/page":            {"hub/locale"},
	"hub/site":            {"hub/request", "hub/verify/capture", "hub/verify/review", "hub/factor", "hub/brand", "hub/page", "protocol/...", "hub/flow", "hub/recovery", "hub/operation", "hub/locale", "hub/token", "hub/store", "hub/policy", "hub/verify/wallet", "hub/verify/provider", "hub/verify/approval", "hub/staff"},
	"hub/console":         {"hub/operation", "hub/token", "hub/party", "hub/webhook", "hub/export", "protocol/auditlog", "hub/terminal", "hub/verify/manual", "hub/evaluation", "hub/staff", "hub/policy", "hub/verify/capture", "hub/verify/provider", "hub/verify/wallet", "hub/verify/review", "hub/page", "protocol", "hub/store", "hub/locale", "hub/tunnel", "hub/directory", "hub/audit"},
	"hub/api":             {"hub/notify", "hub/operation", "hub/export", "protocol/auditlog", "hub/verify/capture", "hub/staff", "hub/party", "hub/evaluation", "hub/request", "hub/verify/review", "hub/brand", "hub/storage", "protocol", "hub/verify/wallet", "hub/verify/smscode", "hub/verify/provider", "hub/store", "hub/audit", "hub/policy", "hub/token", "hub/directory", "hub/domain", "hub/webhook"},

	"caddymodule": {"hub", "hub/signer", "hub/store", "protocol"},
	"cmd":         {"installer", "protocol/...", "agent/...", "hub/...", "caddymodule/...", "internal/demo", "cmd/postern/..."},
	"internal":    {"protocol/...", "agent/...", "hub/...", "internal/..."},
	"installer":   {},
	"packaging":   {},
}

// owner gives each third-party module to the package trees that may import it, one
// each, two where both ends of a tunnel need it. "x/..." takes a tree.
var owner = map[string][]string{
	"github.com/caddyserver/":         {"caddymodule", "cmd/postern/...", "internal/bench"},
	"go.uber.org/zap":                 {"caddymodule"},
	"github.com/spf13/cobra":          {"cmd/postern/..."},
	"github.com/flynn/noise":          {"protocol"},
	"github.com/gorilla/websocket":    {"protocol/carrier", "agent", "hub/tunnel", "hub/api", "cmd/postern/admin"},
	"github.com/go-ldap/ldap":         {"agent/directory/..."},
	"github.com/go-asn1-ber/asn1-ber": {"agent/directory/..."},
	"github.com/pelletier/go-toml":    {"agent/...", "cmd/postern-agent"},
	"github.com/redis/go-redis":       {"hub/coord"},
	"github.com/jackc/pgx":            {"hub/store"},
	"modernc.org/sqlite":              {"hub/store"},
	"github.com/pressly/goose":        {"hub/store"},
	"github.com/golang-jwt/jwt":       {"hub/token", "hub/party", "hub/oidc", "hub/verify/wallet", "hub/verify/provider", "protocol/evidence/..."},
	"github.com/go-jose/go-jose":      {"hub/verify/wallet", "protocol/evidence/evidencetest"},
	"github.com/fxamacker/cbor":       {"protocol/evidence/..."},
	"github.com/coreos/go-oidc":       {"hub/verify/provider"},
	"golang.org/x/oauth2":             {"hub/verify/provider"},
	"github.com/nyaruka/phonenumbers": {"hub/verify/smscode"},
	"github.com/pquerna/otp":          {"hub/verify/totp"},
	"github.com/boombuler/barcode":    {"hub/factor"},
	"github.com/miekg/dns":            {"hub/domain"},
	"github.com/prometheus/":          {"caddymodule", "hub"},
	"github.com/minio/minio-go":       {"hub/storage"},
	"github.com/Azure/":               {"hub/storage"},
	"golang.org/x/mod/sumdb":          {"protocol/auditlog/...", "hub/audit"},
	"golang.org/x/crypto/ssh":         {"hub/signer"},
	"golang.org/x/crypto/nacl":        {"hub/terminal", "hub/console", "cmd/postern/admin"},
	"github.com/kardianos/service":    {"installer"},
	"golang.org/x/sys":                {"installer", "agent", "agent/directory/command"},
	"golang.org/x/image":              {"hub/verify/capture"},
	"golang.org/x/net/http/httpproxy": {"agent"},
	"golang.org/x/net/idna":           {"hub/recovery", "hub/domain"},
	"golang.org/x/text/unicode/norm":  {"protocol/match", "hub/recovery", "hub/request"},

	"github.com/oschwald/maxminddb-golang/v2": {"hub/place"},
}

// pure packages decide; they never talk to the outside.
var pure = map[string][]string{
	"protocol":          {"net", "net/http", "os", "database/sql"},
	"protocol/auditlog": {"net", "net/http", "os", "log/slog", "database/sql", "context"},
	"protocol/match":    {"net", "net/http", "os", "log/slog", "database/sql", "context"},
	"protocol/seal":     {"net", "net/http", "os", "log/slog", "database/sql"},
	"hub/policy":        {"net", "net/http", "os", "log/slog", "database/sql", "context"},
	"protocol/evidence": {"net", "net/http", "os", "log/slog", "database/sql", "context"},
	"hub/recovery":      {"net", "net/http", "html/template", "os", "log/slog", "database/sql"},
	"hub/operation":     {"net/http", "html/template", "os", "database/sql"},
	"hub/flow":          {"net/http", "html/template", "os", "database/sql"},
	"hub/evaluation":    {"net/http", "html/template", "os", "database/sql"},
	"hub/request":       {"net/http", "html/template", "os", "database/sql"},
	"hub/verify":        {"net/http", "html/template", "os", "database/sql"},
	"hub/locale":        {"net/http", "database/sql"},
	"agent":             {"os/exec", "database/sql"},
}

// noInit lists the only packages that may have an init function.
var mayInit = []string{"caddymodule"}

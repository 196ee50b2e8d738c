package api

import (
	"fmt"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const openAPIFile = "../../docs/openapi.yaml"

func TestP03_TheOpenAPIFileSaysWhatTheRowsSay(t *testing.T) {
	made := newDescription(t).yaml()
	if *update {
		if err := os.WriteFile(openAPIFile, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(openAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != made {
		t.Errorf("%s is not what the rows say; see to it with: go test ./hub/api -run OpenAPI -update", openAPIFile)
	}
	inFile := operationsOf(string(kept))
	for _, r := range routes() {
		if i := slices.Index(inFile, r.pattern); i >= 0 {
			inFile = slices.Delete(inFile, i, i+1)
			continue
		}
		t.Errorf("%s is a row and not in the file", r.pattern)
	}
	for _, op := range inFile {
		t.Errorf("%s is in the file and no row", op)
	}
}

// operationsOf finds the operations of the file by its lines alone.
func operationsOf(file string) (all []string) {
	path := ""
	aPath, aMethod := regexp.MustCompile(`^  "?(/[^":]*)"?:$`), regexp.MustCompile(`^    (get|put|post|patch|delete):$`)
	for line := range strings.SplitSeq(file, "\n") {
		if m := aPath.FindStringSubmatch(line); m != nil {
			path = m[1]
		}
		if m := aMethod.FindStringSubmatch(line); m != nil {
			all = append(all, strings.ToUpper(m[1])+" "+path)
		}
	}
	return all
}

// description is docs/openapi.yaml in the making.
type description struct {
	t       *testing.T
	schemas schemas
	sources sources
}

func newDescription(t *testing.T) *description {
	src := sources{}
	return &description{t: t, sources: src, schemas: schemas{sources: src, made: map[string]object{}, names: map[reflect.Type]string{}}}
}

// yaml writes the whole file.
func (d *description) yaml() string {
	paths := object{}
	for _, r := range routes() {
		m, path, _ := strings.Cut(r.pattern, " ")
		if paths.get(path) == nil {
			paths = append(paths, pair{path, object{}})
		}
		paths.set(path, append(paths.get(path).(object), pair{strings.ToLower(m), d.operation(r)}))
	}
	refusal := object{{"type", "object"}, {"required", list{"status", "errors"}}, {"properties", object{
		{"status", object{{"type", "integer"}, {"description", "the status of the answer"}}},
		{"errors", object{{"type", "array"}, {"items", object{{"type", "string"}}}, {"description", "what to mend, a line each"}}},
	}}}
	d.schemas.made["Error"] = refusal
	file := object{
		{"openapi", "3.1.0"},
		{"info", object{{"title", "Postern"}, {"version", "1"}, {"description", "Made of the rows of hub/api; docs/api.md says what holds for all of them."}, {"license", object{{"name", "Apache-2.0"}, {"identifier", "Apache-2.0"}}}}},
		{"servers", list{object{{"url", "https://id.example.com"}, {"description", "the public_url of the installation"}}}},
		{"security", list{object{{"bearer", list{}}}, object{{"basic", list{}}}}},
		{"tags", tags()},
		{"paths", paths},
		{"components", object{
			{"securitySchemes", object{
				{"bearer", object{{"type", "http"}, {"scheme", "bearer"}, {"description", "an API key"}}},
				{"basic", object{{"type", "http"}, {"scheme", "basic"}, {"description", "an API key as the password of an empty user name"}}},
			}},
			{"headers", rateHeaders()},
			{"responses", errorResponses()},
			{"schemas", d.schemas.all()},
		}},
	}
	var b strings.Builder
	b.WriteString("# Written by: go test ./hub/api -run OpenAPI -update\n")
	writeYAML(&b, file, "")
	return b.String()
}

// operation describes one row.
func (d *description) operation(r row) object {
	name, summary, rest := d.words(r)
	m, path, _ := strings.Cut(r.pattern, " ")
	op := object{{"operationId", operationID(m, path, name)}, {"summary", summary}}
	if rest != "" {
		op = append(op, pair{"description", rest})
	}
	op = append(op, pair{"tags", list{d.tagOf(path)}}, pair{"x-role", r.role}, pair{"x-rate", r.class.name})
	if r.kind != "" {
		op = append(op, pair{"x-audit", string(r.kind)})
	}
	if r.own {
		op = append(op, pair{"x-own", true})
	}
	if r.bearer {
		op = append(op, pair{"security", list{object{{"bearer", list{}}}}})
	}
	if params := d.parameters(r); len(params) > 0 {
		op = append(op, pair{"parameters", params})
	}
	if r.do.decode != nil {
		op = append(op, pair{"requestBody", d.body(r)})
	}
	return append(op, pair{"responses", d.responses(r)})
}

// words are the name of a row's function and what its comment says.
func (d *description) words(r row) (name, summary, rest string) {
	name = r.function()
	text := d.sources.comment(d.t, "github.com/postern-id/postern/hub/api", name)
	if text == "" {
		d.t.Errorf("%s: %s has no comment that says what it does", r.pattern, name)
		return name, name, ""
	}
	text = strings.TrimPrefix(text, name+" ")
	summary, rest, _ = strings.Cut(text, ". ")
	summary = strings.TrimSuffix(summary, ".")
	return name, strings.ToUpper(summary[:1]) + summary[1:], strings.TrimSuffix(rest, ".")
}

// function is the name of what a row does; some do everything afterwards.
func (r row) function() string {
	name := nameOf(r.do.what)
	if strings.HasPrefix(name, "nothing") {
		return nameOf(r.do.after)
	}
	return name
}

func nameOf(function any) string {
	full, _, _ := strings.Cut(runtime.FuncForPC(reflect.ValueOf(function).Pointer()).Name(), "[")
	return full[strings.LastIndex(full, ".")+1:]
}

// operationID is the name of the row's function; two rows of one function differ by path.
func operationID(method, path, name string) string {
	n := 0
	for _, r := range routes() {
		if r.function() != name {
			continue
		}
		if n++; r.pattern == method+" "+path && n > 1 {
			return name + strconv.Itoa(n)
		}
	}
	return name
}

// resources are the tags of operations, by the first words of their paths.
var resources = []struct{ tag, about string }{
	{"envs", "Environments, and what belongs to one: its domains, webhooks, applications, providers and storage"},
	{"directories", "Directories, their agents, policies and synchronisation"},
	{"accounts", "Accounts of directories, and their photos"},
	{"requests", "Requests that somebody proves who they are"},
	{"people", "What persons shared"},
	{"org", "The organisation and its members"},
	{"apikeys", "Keys of this API"},
	{"audit", "The audit log, its proofs and its collectors"},
}

func tags() (all list) {
	for _, r := range resources {
		all = append(all, object{{"name", r.tag}, {"description", r.about}})
	}
	return all
}

// tagOf is the resource of a path. The public reference spells some in the singular.
func (d *description) tagOf(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/api"), "/"), "/")
	for _, r := range resources {
		if first == r.tag || first+"s" == r.tag {
			return r.tag
		}
	}
	d.t.Errorf("%s has no tag among the resources", path)
	return first
}

// parameters are those of the path and those of the query.
func (d *description) parameters(r row) (all list) {
	for _, part := range strings.Split(r.pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			all = append(all, object{{"name", strings.TrimSuffix(name, "}")}, {"in", "path"}, {"required", true}, {"schema", object{{"type", "string"}}}})
		}
	}
	for _, p := range r.query {
		s := object{{"type", p.kind}}
		switch {
		case p.capped:
			s = append(s, pair{"minimum", p.least}, pair{"default", atoi(p.absent)}, pair{"description", fmt.Sprintf("a number above %d is taken for %d", p.most, p.most)})
		case p.kind == "integer":
			s = append(s, pair{"minimum", p.least}, pair{"maximum", p.most}, pair{"default", atoi(p.absent)})
		case p.words != nil:
			s = append(s, pair{"enum", words(p.words)})
		case p.kind == "string":
			s = append(s, pair{"maxLength", p.most})
		}
		if p.many {
			s = object{{"type", "array"}, {"items", s}, {"maxItems", maxRepeated}}
		}
		one := object{{"name", p.name}, {"in", "query"}, {"schema", s}}
		if p.example != "" {
			one = append(one, pair{"example", illustrate(p.example)})
		}
		all = append(all, one)
	}
	return all
}

func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

func words(all []string) (out list) {
	for _, w := range all {
		out = append(out, w)
	}
	return out
}

// body describes what a row reads.
func (d *description) body(r row) object {
	content := object{}
	if r.do.takes == nil {
		for _, m := range r.do.media {
			content = append(content, pair{m, object{}})
		}
		return object{{"required", true}, {"content", content}, {"x-bytes", int(r.body)}}
	}
	example := parseJSON(d.t, illustrate(r.example))
	return object{{"content", object{{"application/json", object{{"schema", d.schemas.of(r.do.takes)}, {"example", example}}}}}, {"x-bytes", int(r.body)}}
}

// samples stand in examples where ids are.
var samples = strings.NewReplacer("{env}", "5f1d7a86-1f1b-4c0e-9d6a-0c8f5f2a7e11", "{directory}", "0b6b4f0e-6a38-4c57-8a3d-3a1d6e0c9b22", "{domain}", "recover.example.com",
	"{account}", "8a0c2d44-7e0f-4b9b-9a6c-5b7b1f7f4d33", "{subject}", "q5m3k2t7w6x4y2z7a3b5c7d2e4@5f1d7a86-1f1b-4c0e-9d6a-0c8f5f2a7e11", "{request}", "01JD8Z6M3V8Q2X5W7Y9T1R4B6N", "{template}", "3d2f9b1c-5a7e-4f60-8b1d-6c5e4a3f2d44",
	"{apikey}", "6e5d4c3b-2a19-4807-96f5-e4d3c2b1a055", "{agent}", "7f6e5d4c-3b2a-4190-8076-f5e4d3c2b166", "{secret}", "a secret", "{fingerprint}", "as the agent's machine shows it",
	"{pem}", "-----BEGIN CERTIFICATE-----\\n…", "{signer}", "-----BEGIN CERTIFICATE-----\\n…")

func illustrate(example string) string { return samples.Replace(example) }

// responses are success, and the errors that the row may answer with.
func (d *description) responses(r row) object {
	out := object{}
	if r.status < http.StatusBadRequest {
		success := object{{"description", http.StatusText(r.status)}, {"headers", refs("headers", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")}}
		if r.reply != nil {
			success = append(success, pair{"content", d.content(r.reply)})
		}
		out = append(out, pair{strconv.Itoa(r.status), success})
	}
	for _, status := range r.errors() {
		out = append(out, pair{strconv.Itoa(status), object{{"$ref", "#/components/responses/" + strconv.Itoa(status)}}})
	}
	return out
}

// content is what an answer of a type looks like.
func (d *description) content(t reflect.Type) object {
	if t == reflect.TypeFor[jpegImage]() {
		return object{{"image/jpeg", object{}}}
	}
	return object{{"application/json", object{{"schema", d.schemas.of(t)}}}}
}

// errors are the statuses with which a row may refuse.
func (r row) errors() []int {
	all := []int{400, 401, 403, 404, 429, 500, 503}
	if r.kind != "" || strings.Contains(r.pattern, "{account}") {
		all = append(all, 409)
	}
	if r.do.decode != nil {
		all = append(all, 413, 415)
	}
	slices.Sort(all)
	return all
}

func refs(where string, names ...string) (out object) {
	for _, n := range names {
		out = append(out, pair{n, object{{"$ref", "#/components/" + where + "/" + n}}})
	}
	return out
}

func rateHeaders() object {
	whole, moment := object{{"type", "integer"}}, object{{"type", "string"}, {"format", "date-time"}}
	return object{
		{"X-RateLimit-Limit", object{{"description", "requests in the present window"}, {"schema", whole}}},
		{"X-RateLimit-Remaining", object{{"description", "what is left of them"}, {"schema", whole}}},
		{"X-RateLimit-Reset", object{{"description", "when the next window begins"}, {"schema", moment}}},
		{"Retry-After", object{{"description", "seconds to wait"}, {"schema", whole}}},
	}
}

// errorResponses describe every status of refusals.
func errorResponses() (out object) {
	for _, e := range []struct {
		status int
		text   string
	}{
		{400, "The request is malformed, or names what does not fit; errors says what to mend."},
		{401, "The API key is missing, unknown, switched off or expired."},
		{403, "The role of the API key, or the address that it is used from, does not reach this; or a recover webhook said no."},
		{404, "There is no such thing, or it is another environment's."},
		{409, "This does not fit the present state, or an identifier is borne by several accounts."},
		{413, "The body is longer than x-bytes says."},
		{415, "The body is of another type."},
		{429, "Too many requests; Retry-After says when to come back."},
		{500, "Something failed here; the answer names the line of the log."},
		{503, "The store, or what it takes beside, does not answer; try again."},
	} {
		one := object{{"description", e.text}}
		if e.status == 429 || e.status == 503 {
			one = append(one, pair{"headers", refs("headers", "Retry-After")})
		}
		out = append(out, pair{strconv.Itoa(e.status), append(one, pair{"content", object{{"application/json", object{{"schema", object{{"$ref", "#/components/schemas/Error"}}}}}}})})
	}
	return out
}

func TestTheOpenAPIFileHasOneNameForEachOperation(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range regexp.MustCompile(`(?m)^      operationId: (\S+)$`).FindAllString(newDescription(t).yaml(), -1) {
		if seen[id] {
			t.Error("twice: " + id)
		}
		seen[id] = true
	}
	if len(seen) != len(routes()) {
		t.Error(fmt.Sprint(len(seen), " names for ", len(routes()), " rows"))
	}
}

package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/store"
)

// A row is one endpoint. What its path names is resolved before do runs: {env},
// {directory}, {domain}, {agent}, {account}, {apikey}, {trust}, {request}, {template},
// {provider}, {client}, {evaluation}, {delivery}, {destination} and {subject}.
type row struct {
	pattern string
	role    string // the least that reaches it
	class   class
	kind    audit.Kind // the record that it leaves; "": it only reads
	do      action
	body    int64        // longest body; 0: none is read
	query   []parameter  // no others are taken
	status  int          // on success
	reply   reflect.Type // of success; nil: it has no body
	example string       // a body that works, with {env} and the like where an id stands
	bearer  bool         // not by Basic: a GET that changes something (T24)
	own     bool         // not in the public reference
	person  bool         // also for the person themselves, see person.go
}

// get is a row that reads.
func get(path, role string, do action) row {
	return row{pattern: "GET " + path, role: role, class: reading, do: do, status: http.StatusNoContent}
}

// change is a row that changes something and leaves a record of a kind.
func change(method, path, role string, kind audit.Kind, do action) row {
	r := row{pattern: method + " " + path, role: role, class: writing, kind: kind, do: do, status: http.StatusNoContent}
	if do.decode != nil {
		r.body = small
	}
	return r
}

func post(path, role string, kind audit.Kind, do action) row {
	return change("POST", path, role, kind, do)
}

func put(path, role string, kind audit.Kind, do action) row {
	return change("PUT", path, role, kind, do)
}

func patch(path, role string, kind audit.Kind, do action) row {
	return change("PATCH", path, role, kind, do)
}

func remove(path, role string, kind audit.Kind, do action) row {
	return change("DELETE", path, role, kind, do)
}

// gives is a row that answers 200 with a body of the type of v.
func (r row) gives(v any) row {
	r.status, r.reply = http.StatusOK, reflect.TypeOf(v)
	return r
}

// creates is a row that answers 201 with a body of the type of v.
func (r row) creates(v any) row {
	r.status, r.reply = http.StatusCreated, reflect.TypeOf(v)
	return r
}

// refuses is a row that only says why there is nothing.
func (r row) refuses() row {
	r.status = http.StatusBadRequest
	return r
}

// takes is a row with these query parameters.
func (r row) takes(all ...parameter) row {
	r.query = all
	return r
}

// like is a row with an example of its body, which the tests send.
func (r row) like(example string) row {
	r.example = example
	return r
}

// upTo is a row whose body may have this many bytes.
func (r row) upTo(bytes int64) row {
	r.body = bytes
	return r
}

// paced is a row of another class than its method says.
func (r row) paced(c class) row {
	r.class = c
	return r
}

// leaves is a row that leaves a record though its method only reads.
func (r row) leaves(kind audit.Kind) row {
	r.kind, r.class = kind, writing
	return r
}

// bearerOnly is a row that does not take Basic.
func (r row) bearerOnly() row {
	r.bearer = true
	return r
}

// andPerson is a row that people reach themselves, by an id_token in place of a key.
func (r row) andPerson() row {
	r.query, r.person = append(r.query, textIn("token", party.MaxToken)), true
	return r
}

// ours is a row that is not in the public reference.
func (r row) ours() row {
	r.own = true
	return r
}

func (r row) method() string {
	m, _, _ := strings.Cut(r.pattern, " ")
	return m
}

func (r row) path() string {
	_, p, _ := strings.Cut(r.pattern, " ")
	return p
}

// methodsOf lists the methods of the rows that have a path.
func methodsOf(path string) (all []string) {
	for _, r := range routes() {
		if r.path() == path {
			all = append(all, r.method())
		}
	}
	return all
}

// An action is what a row does.
type action struct {
	what   any                       // the function that does it, for its name
	takes  reflect.Type              // of the body; nil: none, or not JSON
	media  []string                  // types of a body that is not JSON
	stream bool                      // before reads the body, which is too large to hold
	decode func([]byte) (any, error) // nil: the body is not read
	// before prepares what a transaction must not wait for.
	before func(context.Context, *call) error
	// run works in the transaction of the row, which may run it several times.
	run func(context.Context, *call, *store.Tx) (any, error)
	// after works when the transaction has happened, and may replace its reply.
	after func(context.Context, *call, any) (any, error)
	// socket takes the place of run and after where a WebSocket is asked for. It answers
	// itself where it returns nil.
	socket func(context.Context, *call) error
}

// live returns the action with what it does over a WebSocket.
func (a action) live(socket func(context.Context, *call) error) action {
	a.socket = socket
	return a
}

// first returns the action with something to prepare.
func (a action) first(before func(context.Context, *call) error) action {
	a.before = before
	return a
}

// then returns the action with something to do afterwards.
func (a action) then(after func(context.Context, *call, any) (any, error)) action {
	a.after = after
	return a
}

// plain is an action that has no body.
func plain(run func(context.Context, *call, *store.Tx) (any, error)) action {
	return action{what: run, run: run}
}

// with is an action whose body is a T.
func with[T any](run func(context.Context, *call, *store.Tx, *T) (any, error)) action {
	return action{
		what: run, takes: reflect.TypeFor[T](),
		decode: func(b []byte) (any, error) { return decode[T](b) },
		run:    func(ctx context.Context, c *call, tx *store.Tx) (any, error) { return run(ctx, c, tx, c.body.(*T)) },
	}
}

// Bounds of bodies, in bytes. The one of most rows is small.
const (
	small       = 16 << 10  // names, lists of ids
	outsideSize = 256 << 10 // settings of outside services, with their keys
	policySize  = 4 << 20   // five policies with all their groups, see hub/policy
)

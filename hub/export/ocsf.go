package export

import (
	"encoding/json"
	"net/netip"
)

// schema is the version of OCSF that events are written in.
const schema = "1.3.0"

type ocsfProduct struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name"`
}

type ocsfMetadata struct {
	Version     string      `json:"version"`
	Product     ocsfProduct `json:"product"`
	UID         string      `json:"uid"`
	EventCode   string      `json:"event_code"`
	Correlation string      `json:"correlation_uid,omitempty"`
	TenantUID   string      `json:"tenant_uid,omitempty"`
	LogProvider string      `json:"log_provider"`
}

// ocsfNamed is a user or an entity.
type ocsfNamed struct {
	UID  string `json:"uid,omitempty"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
}

type ocsfActor struct {
	User ocsfNamed `json:"user"`
}

type ocsfEndpoint struct {
	IP string `json:"ip"`
}

type ocsfRequest struct {
	UserAgent string `json:"user_agent"`
}

type ocsfEvent struct {
	Category   int             `json:"category_uid"`
	Class      int             `json:"class_uid"`
	ClassName  string          `json:"class_name"`
	Activity   int             `json:"activity_id"`
	Name       string          `json:"activity_name"`
	Type       int             `json:"type_uid"`
	Severity   int             `json:"severity_id"`
	Status     int             `json:"status_id"`
	Time       int64           `json:"time"`
	Metadata   ocsfMetadata    `json:"metadata"`
	Actor      *ocsfActor      `json:"actor,omitempty"`
	User       *ocsfNamed      `json:"user,omitempty"`
	Entity     *ocsfNamed      `json:"entity,omitempty"`
	Privileges []string        `json:"privileges,omitempty"`
	Source     *ocsfEndpoint   `json:"src_endpoint,omitempty"`
	Request    *ocsfRequest    `json:"http_request,omitempty"`
	Unmapped   json.RawMessage `json:"unmapped"`
}

// ocsf writes an event of the Open Cybersecurity Schema Framework. All that the log says
// stands in unmapped.
func (e Event) ocsf(host string) ([]byte, error) {
	s := e.shape()
	o := ocsfEvent{Category: s.class.category, Class: s.class.uid, ClassName: s.class.name, Activity: s.activity, Name: string(e.Kind),
		Type: s.class.uid*100 + s.activity, Severity: s.severity, Status: s.status, Time: e.Time.UnixMilli(), Unmapped: e.raw,
		Metadata: ocsfMetadata{Version: schema, Product: ocsfProduct{"Postern", "Postern"}, UID: e.ID, EventCode: string(e.Kind), Correlation: e.Trace, TenantUID: e.Org, LogProvider: host}}
	kind, id := e.actor()
	if id != "" {
		o.Actor = &ocsfActor{User: ocsfNamed{UID: id, Type: kind}}
	}
	whom := ocsfNamed{UID: e.Account}
	if whom.UID == "" {
		whom = ocsfNamed{UID: id, Type: kind}
	}
	if whom.UID == "" {
		whom.Name = "unknown" // before anybody proved who it is
	}
	switch s.class {
	case entity:
		o.Entity = &ocsfNamed{UID: e.entity(), Type: string(e.Kind)}
	case access:
		o.User, o.Privileges = &whom, []string{string(e.Kind)}
	default:
		o.User = &whom
	}
	if addr, err := netip.ParseAddr(e.Remote); err == nil {
		o.Source = &ocsfEndpoint{addr.Unmap().WithZone("").String()}
	}
	if e.UserAgent != "" {
		o.Request = &ocsfRequest{printable(e.UserAgent)}
	}
	b, err := json.Marshal(o)
	return ascii(b), err
}

// entity is the narrowest thing that the event names.
func (e Event) entity() string {
	if e.Env != "" {
		return e.Env
	}
	return e.Org
}

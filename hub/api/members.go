package api

import (
	"context"
	"errors"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// Members changes who works for an organisation, in the caller's transaction, who records
// it. Errors are those of package staff.
type Members interface {
	InviteIn(ctx context.Context, tx *store.Tx, who store.Staff, at staff.Place, may staff.Reach, by audit.Principal) (store.Staff, error)
	RemoveIn(ctx context.Context, tx *store.Tx, org, id string, may staff.Reach, by audit.Principal) (staff.Removed, error)
	ChangeIn(ctx context.Context, tx *store.Tx, at staff.Place, org, id string, to staff.Change, may staff.Reach, by audit.Principal) (staff.Changed, error)
}

// orgMember is the wire type OrgMember. People who only vouch are none.
type orgMember struct {
	ID        string   `json:"member_id"`
	Role      string   `json:"role" words:"role"`
	Envs      []string `json:"envs"` // where they have the role, * for everywhere
	Name      string   `json:"name"`
	Email     string   `json:"email"`
	Picture   string   `json:"profile_picture"` // always empty
	Pending   bool     `json:"invite_pending"`
	Requests  int      `json:"requests_count"` // by keys of their own
	Principal string   `json:"principal"`
}

// memberList is the wire type ListOrgMembersResponse.
type memberList struct {
	Members []orgMember `json:"members"`
}

// listMembers answers with who works within the caller's environments.
func listMembers(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := tx.StaffList(ctx, c.key.Org)
	if err != nil {
		return nil, err
	}
	asked, err := tx.RequestsBy(ctx, c.key.Org)
	out := []orgMember{}
	for _, s := range all {
		if s.Role == staff.Approver || !c.mayHold(s.Envs) {
			continue
		}
		keys, err := tx.StaffKeys(ctx, s.Org, s.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, orgMember{s.ID, s.Role, s.Envs, s.Name, s.Mail, "", len(keys) == 0, asked[s.ID], s.ID})
	}
	return memberList{out}, err
}

// inviteMemberRequest is the wire type InviteOrgMemberRequest.
type inviteMemberRequest struct {
	Email string   `json:"email"`
	Envs  []string `json:"envs,omitempty"` // absent: all, for callers who reach all
	Role  string   `json:"role" words:"role"`
}

// console is where members make their passkeys.
func (c *call) console() staff.Place { return staff.Place{Origin: c.api.Console()} }

// caller is the key that acts, in the notices of staff.
func (c *call) caller() audit.Principal {
	return audit.Principal{Role: c.key.Role, APIKey: c.key.ID}
}

// gives is what the key may give to members: as much as it may itself.
func (c *call) gives() staff.Reach { return staff.Reach{Role: c.key.Role, Envs: c.key.Envs} }

// inviteMember sends an invitation by mail.
func inviteMember(ctx context.Context, c *call, tx *store.Tx, req *inviteMemberRequest) (any, error) {
	if req.Envs != nil && len(req.Envs) == 0 {
		return nil, errNoEnvs
	}
	if len(req.Envs) == 0 {
		req.Envs = []string{store.AllEnvs}
	}
	if err := c.checkEnvs(ctx, tx, req.Envs); err != nil {
		return nil, err
	}
	who, err := c.api.Members.InviteIn(ctx, tx, store.Staff{Org: c.key.Org, Name: req.Email, Mail: req.Email, Role: req.Role, Envs: req.Envs}, c.console(), c.gives(), c.caller())
	c.detail, c.personal = map[string]any{"org_member": who.ID, "request": inviteMemberRequest{Email: redactedSecret, Envs: who.Envs, Role: who.Role}}, map[string]string{"mail": req.Email}
	return nil, memberError(err)
}

// updateMemberRequest is the wire type UpdateOrgMemberRequest.
type updateMemberRequest struct {
	Envs *[]string `json:"envs,omitempty"`
	Role string    `json:"role,omitempty" words:"role"`
}

// updateMember gives a member another role, or the same one elsewhere.
func updateMember(ctx context.Context, c *call, tx *store.Tx, req *updateMemberRequest) (any, error) {
	to := staff.Change{Role: req.Role}
	if set(&to.Envs, req.Envs); req.Envs != nil && len(to.Envs) == 0 {
		return nil, errNoEnvs
	}
	if err := c.checkEnvs(ctx, tx, to.Envs); err != nil {
		return nil, err
	}
	id := c.r.PathValue("member")
	changed, err := c.api.Members.ChangeIn(ctx, tx, c.console(), c.key.Org, id, to, c.gives(), c.caller())
	c.detail = map[string]any{"org_member": id, "request": req}
	changed.Record(c.detail)
	return nil, memberError(err)
}

// removeMember ends what a member may do.
func removeMember(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	gone, err := c.api.Members.RemoveIn(ctx, tx, c.key.Org, c.r.PathValue("member"), c.gives(), c.caller())
	c.detail = gone.Detail()
	return nil, memberError(err)
}

// memberError says what to mend.
func memberError(err error) error {
	switch {
	case errors.Is(err, staff.ErrPerson):
		return bad("email, role: a mail address and one of owner, admin, user, limited_plus, limited are needed")
	case errors.Is(err, staff.ErrTaken):
		return bad("email: somebody has this address already")
	case errors.Is(err, staff.ErrOwner):
		return bad(`envs: an owner works in all environments; say ["*"], or give another role`)
	case errors.Is(err, staff.ErrEnvs):
		return bad("envs: name environments that there are and that the key is for")
	case errors.Is(err, staff.ErrMail):
		return bad("email: no mail is sent from here; use postern staff invite")
	case errors.Is(err, staff.ErrRole):
		return errForbidden
	}
	return err
}

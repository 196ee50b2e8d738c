package api

import (
	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/protocol/auditlog"
)

// routes lists every endpoint. Paths and statuses are those of the public reference;
// rows marked ours are not in it. From a row come who may call it and how often, what is
// read of the request, the audit record, and its part of docs/openapi.yaml.
func routes() []row {
	return []row{
		get("/api/envs", RoleLimited, plain(listEnvs)).gives(envList{}),
		post("/api/envs", RoleOwner, audit.EnvCreated, with(createEnv)).creates(createdID{}).like(`{"name":"Live"}`),
		get("/api/envs/{env}", RoleLimited, plain(getEnv)).gives(env{}),
		patch("/api/envs/{env}", RoleAdmin, audit.EnvUpdated, with(updateEnv)).like(`{"public_name":"Example AG"}`),
		remove("/api/envs/{env}", RoleOwner, audit.EnvDeleted, plain(deleteEnv).then(refreshDomains)),
		post("/api/envs/{env}/logo", RoleAdmin, audit.EnvLogoUploaded, logoBody(uploadLogo)).takes(wordIn("kind", logoKinds...)).upTo(logoSize).like(`{photo}`),
		remove("/api/envs/{env}/logo", RoleAdmin, audit.EnvLogoDeleted, plain(deleteLogo)).takes(wordIn("kind", logoKinds...)),
		get("/api/envs/{env}/storage", RoleAdmin, plain(getStorage)).gives(storageOut{}).ours(),
		post("/api/envs/{env}/storage/test", RoleAdmin, "", plain(testedSettings).then(testStorage)).gives(tested{}).ours(),
		post("/api/envs/{env}/encrypt-secret", RoleUser, "", with(encryptSecret).then(giveCiphertext)).gives(encryptedSecret{}).like(`{"plaintext":"s3cret"}`),
		post("/api/envs/{env}/refresh-webhook-secret", RoleAdmin, audit.EnvWebhookSecretUpdated, with(refreshWebhookSecret)).gives(webhookSecret{}).like(`{"envID":"{env}"}`),
		remove("/api/envs/{env}/former-webhook-secret", RoleAdmin, audit.EnvWebhookSecretUpdated, plain(endFormerSecret)).ours(),
		get("/api/envs/{env}/webhooks", RoleAdmin, plain(listDeliveries)).takes(countIn(store.MaxDeliveries-1), offsetIn(), wordIn("event", eventNames()...), wordIn("state", deliveryStates()...), textIn("webhook", maxID)).gives(deliveryList{}),
		post("/api/envs/{env}/webhooks/{delivery}/replay", RoleAdmin, audit.WebhookReplayed, plain(replayDelivery)).gives(delivery{}).ours(),

		get("/api/envs/{env}/domains", RoleLimited, plain(listDomains)).gives(domainList{}).ours(),
		post("/api/envs/{env}/domains", RoleAdmin, audit.EnvUpdated, with(addDomain).then(checkDomain)).creates(domainOut{}).like(`{"name":"new.{domain}"}`).ours(),
		get("/api/envs/{env}/domains/{domain}", RoleLimited, plain(getDomain)).gives(domainOut{}).ours(),
		remove("/api/envs/{env}/domains/{domain}", RoleAdmin, audit.EnvUpdated, plain(removeDomain).then(refreshDomains)).ours(),
		post("/api/envs/{env}/domains/{domain}/check", RoleUser, "", plain(getDomain).then(checkDomain)).gives(domainOut{}).ours(),

		get("/api/envs/{env}/trust", RoleLimited, plain(listTrust)).gives([]trustOut{}).ours(),
		post("/api/envs/{env}/trust", RoleAdmin, audit.EnvUpdated, with(addTrust)).creates(trustOut{}).upTo(trustSize).like(`{"name":"mine","pem":"{pem}"}`).ours(),
		get("/api/envs/{env}/trust/{trust}", RoleLimited, plain(getTrust)).gives(trustOut{}).ours(),
		remove("/api/envs/{env}/trust/{trust}", RoleAdmin, audit.EnvUpdated, plain(removeTrust)).ours(),
		post("/api/envs/{env}/domains/{domain}/wallet-certificate", RoleAdmin, audit.EnvUpdated, with(setWalletCertificate)).like(`{"pem":"{signer}"}`).ours(),

		get("/api/envs/{env}/documents", RoleLimited, plain(getDocuments)).gives(documents{}).ours(),
		post("/api/envs/{env}/documents", RoleAdmin, audit.EnvUpdated, with(setDocuments)).like(`{"documents":["pid"]}`).ours(),
		get("/api/envs/{env}/credential-status", RoleLimited, plain(getCredentialStatus)).gives(credentialStatus{}).ours(),
		post("/api/envs/{env}/credential-status", RoleAdmin, audit.EnvUpdated, with(setCredentialStatus)).like(`{"status":"require","hosts":["status.example.org"]}`).ours(),

		get("/api/envs/{env}/mail", RoleLimited, plain(getMail)).gives(mailOut{}).ours(),
		post("/api/envs/{env}/mail/test", RoleAdmin, audit.MailTested, with(writeMail).then(sendMail)).gives(testedMail{}).paced(mailing).like(`{"to":"you@example.com"}`).ours(),
		get("/api/envs/{env}/sms", RoleAdmin, plain(getSMS)).gives(smscode.Settings{}).ours(),
		post("/api/envs/{env}/sms", RoleAdmin, audit.EnvUpdated, with(setSMS)).upTo(outsideSize).like(`{"twilio":{"account_sid":"AC1","auth_token":"{secret}","from":"+4915112345678"},"countries":["DE"]}`).ours(),
		remove("/api/envs/{env}/sms", RoleAdmin, audit.EnvUpdated, plain(removeSMS)).ours(),
		get("/api/envs/{env}/review", RoleLimited, plain(getReview)).gives(review.Settings{}).ours(),
		post("/api/envs/{env}/review", RoleAdmin, audit.EnvUpdated, with(setReview)).like(`{"requests":true}`).ours(),
		post("/api/envs/{env}/common-names", RoleAdmin, audit.EnvUpdated, with(setCommonNames)).gives(commonNamesKept{}).upTo(commonSize).like(`{"list":"Smith,9000\nMüller,5000\n","threshold":1000}`).ours(),

		get("/api/envs/{env}/identity-providers", RoleLimited, plain(listProviders)).gives([]providerOut{}).ours(),
		post("/api/envs/{env}/identity-providers", RoleAdmin, audit.EnvUpdated, with(addProvider)).creates(providerOut{}).upTo(outsideSize).like(`{"name":"Acme ID","issuer":"https://login.example.com","client_id":"recovery","client_secret":"{secret}","directories":["{directory}"]}`).ours(),
		get("/api/envs/{env}/identity-providers/{provider}", RoleLimited, plain(getProvider)).gives(providerOut{}).ours(),
		patch("/api/envs/{env}/identity-providers/{provider}", RoleAdmin, audit.EnvUpdated, with(replaceProvider)).upTo(outsideSize).like(`{"name":"Acme ID","issuer":"https://login.example.com","client_id":"recovery","client_secret":"{secret}","directories":["{directory}"]}`).ours(),
		remove("/api/envs/{env}/identity-providers/{provider}", RoleAdmin, audit.EnvUpdated, plain(removeProvider)).ours(),

		get("/api/envs/{env}/oidc-clients", RoleLimited, plain(listClients)).gives([]oidcClientOut{}).ours(),
		post("/api/envs/{env}/oidc-clients", RoleAdmin, audit.EnvUpdated, with(addClient).first(makeKey)).takes(textIn("external", party.MaxFingerprint)).creates(oidcClientOut{}).like(`{"contract":"okta_eam","directory":"{directory}","name":"Okta","redirect_uris":["https://example.okta.com/oauth2/v1/authorize/callback"]}`).ours(),
		get("/api/envs/{env}/oidc-clients/{client}", RoleLimited, plain(getClient)).gives(oidcClientOut{}).ours(),
		patch("/api/envs/{env}/oidc-clients/{client}", RoleAdmin, audit.EnvUpdated, with(replaceClient)).like(`{"contract":"okta_eam","directory":"{directory}","name":"Okta","redirect_uris":["https://example.okta.com/oauth2/v1/authorize/callback"]}`).ours(),
		remove("/api/envs/{env}/oidc-clients/{client}", RoleAdmin, audit.EnvUpdated, plain(removeClient)).ours(),
		post("/api/envs/{env}/oidc-clients/{client}/secrets", RoleAdmin, audit.EnvUpdated, plain(addClientSecret)).creates(oidcClientOut{}).ours(),
		remove("/api/envs/{env}/oidc-clients/{client}/secrets", RoleAdmin, audit.EnvUpdated, plain(endClientSecrets)).ours(),
		post("/api/envs/{env}/oidc-clients/{client}/keys", RoleAdmin, audit.EnvUpdated, plain(rotateClientKey).first(makeKey)).takes(textIn("external", party.MaxFingerprint)).creates([]party.KeyView{}).ours(),

		get("/api/directories", RoleLimited, plain(listDirectories)).takes(listIn("env")).gives(directoryList{}),
		post("/api/directories", RoleAdmin, audit.DirectoryCreated, with(createDirectory)).gives(createDirectoryResponse{}).like(`{"env":"{env}","kind":"agent"}`),
		get("/api/directories/{directory}", RoleLimited, plain(getDirectory)).gives(directoryOut{}),
		patch("/api/directories/{directory}", RoleAdmin, audit.DirectoryUpdated, with(updateDirectory)).upTo(policySize).like(`{"password_policy":{"groups":[],"default":"name_match"},"recovery_operation_rate_limit":{"count":100,"window":"1h"}}`),
		remove("/api/directories/{directory}", RoleAdmin, audit.DirectoryDeleted, plain(deleteDirectory)),
		get("/api/directories/{directory}/authorize", RoleAdmin, plain(noAuthorization)).refuses(),
		post("/api/directories/{directory}/authorize", RoleAdmin, "", with(refuseCredentials)).refuses().like(`{"partition":"example.okta.com","secret":"{secret}"}`),
		put("/api/directories/{directory}/logo", RoleAdmin, audit.DirectoryLogoUploaded, logoBody(uploadDirectoryLogo)).upTo(logoSize).like(`{photo}`),
		remove("/api/directories/{directory}/logo", RoleAdmin, audit.DirectoryLogoDeleted, plain(deleteDirectoryLogo)),
		post("/api/directories/{directory}/sync", RoleUser, "", plain(nothing).then(syncDirectory)),
		post("/api/directories/{directory}/sync/confirm", RoleAdmin, audit.AgentSyncConfirmed, plain(confirmSync).then(syncDirectory)).ours(),
		get("/api/directories/{directory}/regenerate-directory-agent-token", RoleAdmin, plain(regenerateToken)).leaves(audit.AgentTokenCreated).bearerOnly().gives(agentToken{}),

		get("/api/directories/{directory}/agents", RoleLimited, plain(listAgents).then(connectedAgents)).gives(agentList{}).ours(),
		post("/api/directories/{directory}/agent-tickets", RoleAdmin, audit.AgentTicketCreated, with(createTicket)).creates(createTicketResponse{}).like(`{"ttl":"30m"}`).ours(),
		post("/api/directories/{directory}/agents/{agent}/confirm", RoleAdmin, audit.AgentConfirmed, with(confirmAgent)).like(`{"fingerprint":"{fingerprint}"}`).ours(),
		post("/api/directories/{directory}/agents/{agent}/release", RoleAdmin, audit.AgentResolved, plain(releaseAgent)).ours(),
		post("/api/directories/{directory}/agents/{agent}/examine", RoleUser, audit.AgentExamined, plain(afterwards).then(examineAgent)).gives(examinationOut{}).paced(examined).ours(),
		remove("/api/directories/{directory}/agents/{agent}", RoleAdmin, audit.AgentRevoked, plain(revokeAgent)).ours(),

		get("/api/directories/{directory}/evaluations", RoleLimitedPlus, plain(listEvaluations)).gives(evaluationList{}).ours(),
		post("/api/directories/{directory}/evaluations", RoleAdmin, audit.EvaluationStarted, with(startEvaluation).then(wakeEvaluations)).creates(evaluation.Run{}).upTo(policySize).like(`{"accounts":["alice@example.com"]}`).ours(),
		get("/api/directories/{directory}/evaluations/{evaluation}", RoleLimitedPlus, plain(getEvaluation)).gives(evaluation.Run{}).ours(),
		get("/api/directories/{directory}/evaluations/{evaluation}/accounts", RoleLimitedPlus, plain(evaluatedAccounts)).takes(textIn("reason", maxID), wordIn("could", could...), textIn("after", maxID), countIn(store.MaxAccounts)).gives(evaluatedList{}).ours(),
		post("/api/directories/{directory}/evaluations/{evaluation}/cancel", RoleAdmin, audit.EvaluationEnded, plain(cancelEvaluation)).ours(),
		remove("/api/directories/{directory}/evaluations/{evaluation}", RoleAdmin, audit.EvaluationEnded, plain(removeEvaluation)).ours(),

		get("/api/accounts", RoleLimitedPlus, plain(listAccounts)).takes(listIn("env"), listIn("directory"), textIn("q", maxQuery), boolIn("verified"), countIn(store.MaxAccounts), offsetIn()).gives(accountsList{}),
		patch("/api/accounts", RoleAdmin, audit.AccountUpdated, with(updateAccounts).first(askForAccounts)).gives(accountResults{}).upTo(accountUpdatesSize).like(`{"accounts":[{"id":"{account}","birth_date":"1985-03-09"}]}`),
		patch("/api/accounts/{account}", RoleAdmin, audit.AccountUpdated, with(updateAccount).first(askForAccount)).like(`{"subject":"{subject}","birth_date":"1985-03-09"}`),
		get("/api/accounts/{account}", RoleLimitedPlus, plain(getAccount)).gives(account{}),
		put("/api/accounts/{account}/photo", RoleAdmin, audit.AccountPhotoUploaded, photoBody(setPhoto)).upTo(capture.MaxImage).like(`{photo}`),
		put("/api/account/photos", RoleAdmin, audit.AccountPhotoUploaded, zipBody(setPhotos)).takes(textIn("directory", maxID).like("{directory}")).gives(photoResults{}).upTo(maxArchive).paced(archived).like(`{photos}`),
		post("/api/account/photos", RoleAdmin, audit.AccountPhotoUploaded, zipBody(setPhotos)).takes(textIn("directory", maxID).like("{directory}")).gives(photoResults{}).upTo(maxArchive).paced(archived).like(`{photos}`),
		remove("/api/accounts/{account}/photo", RoleAdmin, audit.AccountUpdated, plain(removePhoto)),
		get("/api/accounts/{account}/operations", RoleLimitedPlus, plain(listActs)).gives(actList{}).ours(),
		post("/api/accounts/{account}/operations", RoleAdmin, audit.OperationOrdered, with(orderAct).then(carryOutAct)).paced(ordering).gives(actOut{}).like(`{"operation":"disable","dry_run":true}`).ours(),
		get("/api/accounts/{account}/recovery", RoleLimitedPlus, plain(getShutOut)).gives(shutOut{}).ours(),
		remove("/api/accounts/{account}/recovery/stop", RoleAdmin, audit.RecoveryReopened, plain(reopen)).ours(),
		remove("/api/accounts/{account}/history", RoleOwner, audit.VaultDeleted, plain(eraseHistory)).ours(),
		remove("/api/accounts/{account}/recovery/block", RoleAdmin, audit.RecoveryUnblocked, plain(unblock)).ours(),

		post("/api/envs/{env}/recovery_microsite/presign", RoleUser, audit.RecoveryLinkCreated, with(presign).first(signingKey)).gives(presigned{}).paced(presigns).like(`{"email":"alice@example.com","ttl":"1h"}`),
		post("/api/env/{env}/recovery/presign", RoleUser, audit.RecoveryLinkCreated, plain(presignQuery).first(signingKey)).takes(textIn("email", maxQuery).like("alice@example.com"), listIn("operation"), listIn("directory"), textIn("flow", maxID), textIn("ttl", maxID)).gives(presigned{}).paced(presigns),

		get("/api/envs/{env}/requests", RoleLimited, plain(listRequests)).takes(textIn("q", maxQuery), textIn("requestor", maxQuery), wordIn("sort", sorts...), wordIn("statusFilter", statusFilters...), wordIn("updatedAt", updates...), countIn(maxList), offsetIn()).gives(requestsList{}),
		get("/api/envs/{env}/requests/{request}", RoleLimited, plain(getRequest)).gives(request.Document{}),
		post("/api/requests", RoleLimited, audit.RequestCreated, with(createRequest).then(sendLinks)).creates(createdRequest{}).like(`{"env":"{env}","claims":["name","birth_date"],"label":"Ref 1"}`),
		get("/api/requests/{request}", RoleLimited, plain(getRequest)).gives(request.Document{}),
		patch("/api/requests/{request}", RoleLimited, audit.RequestUpdated, with(updateRequest)).like(`{"label":"Ref 2"}`),
		remove("/api/requests/{request}", RoleLimited, audit.RequestCanceled, plain(cancelRequest)),
		post("/api/envs/{env}/templates", RoleAdmin, audit.TemplateCreated, with(createTemplate)).gives(createdID{}).like(`{"name":"new","claim_definitions":[{"claim":"birth_date"}]}`),
		patch("/api/envs/{env}/templates/{template}", RoleAdmin, audit.TemplateUpdated, with(updateTemplate)).like(`{"id":"{template}","headline":"Who are you?"}`),
		remove("/api/envs/{env}/templates/{template}", RoleAdmin, audit.TemplateDeleted, plain(removeTemplate)),

		get("/people/{subject}/properties/{scopes}", RoleUser, plain(getProperties)).gives(request.Disclosed{}).andPerson(),
		remove("/people/{subject}/properties/{scopes}", RoleUser, audit.SharingRevoked, plain(revokeProperties)).andPerson(),
		post("/people/{subject}/compare", RoleUser, audit.PeopleCompare, with(comparePerson)).gives(comparisonResult{}).like(`{"expectations":[{"claim":"name","value":"Alice"}]}`),
		post("/people/{subject}/compare/selfie", RoleUser, audit.SelfieCompare, faceBody(comparedFace, compareFace)).takes(wordIn("extra_validation", review.EmployeeBadge)).gives(selfieResult{}).upTo(maxSelfie).paced(faces).like(`{selfie}`),
		post("/people/{subject}/picture", RoleUser, audit.PeopleSetPicture, faceBody(setPicture, choosePicture)).gives(pictureSet{}).upTo(2 * capture.MaxImage).paced(faces).like(`{selfie}`),
		get("/people/{subject}/picture", RoleUser, plain(getPicture).then(fetchPicture)).gives(jpegImage{}).ours(),
		post("/people/{subject}/preferred-name", RoleUser, audit.PeopleSetPreferredName, with(setPreferredName)).like(`{"preferred_name":"Ali"}`),
		post("/people/bulk", RoleUser, "", with(bulkProperties)).gives(bulkResponse{}).upTo(bulkSize).paced(reading).like(`{"requests":[{"subject":"{subject}","claims":["name"]}]}`),
		remove("/people/{subject}", RoleAdmin, audit.VaultDeleted, plain(erasePerson)).ours(),

		get("/api/org", RoleLimited, plain(getOrg)).gives(organisation{}),
		patch("/api/org", RoleOwner, audit.OrgUpdated, with(updateOrg)).like(`{"name":"Example AG","allowed_ip_addresses":["127.0.0.0/8","::1","192.0.2.0/24"]}`),
		get("/api/org/members", RoleAdmin, plain(listMembers)).gives(memberList{}),
		post("/api/org/members", RoleAdmin, audit.OrgMemberInvited, with(inviteMember)).paced(mailing).like(`{"email":"new@{domain}","role":"user","envs":["{env}"]}`),
		patch("/api/org/members/{member}", RoleAdmin, audit.OrgMemberUpdated, with(updateMember)).like(`{"role":"limited","envs":["{env}"]}`),
		remove("/api/org/members/{member}", RoleAdmin, audit.OrgMemberRemoved, plain(removeMember)),
		get("/api/apikeys", RoleAdmin, plain(listAPIKeys)).gives(apiKeyList{}),
		post("/api/apikeys", RoleAdmin, audit.APIKeyCreated, with(createAPIKey)).creates(createAPIKeyResponse{}).like(`{"name":"dashboard","envs":["{env}"],"role":"limited"}`),
		get("/api/apikeys/{apikey}", RoleAdmin, plain(getAPIKey)).gives(apiKey{}),
		patch("/api/apikeys/{apikey}", RoleAdmin, audit.APIKeyUpdated, with(updateAPIKey)).like(`{"enabled":false}`),
		remove("/api/apikeys/{apikey}", RoleAdmin, audit.APIKeyDeleted, plain(deleteAPIKey)),

		get("/api/audit", RoleOwner, plain(listAudit).live(streamAudit).first(settleAudit)).gives(auditList{}).takes(textIn("start", maxID), textIn("end", maxID), boolIn("reverse"), countOf(store.MaxAudit, auditCount),
			listIn("env"), wordsIn("kind", auditKinds()...), textIn("query", maxQuery), textIn("cursor", maxID), numberIn("from", 0, maxEntry, 0)),
		get("/api/audit/checkpoints", RoleAdmin, plain(witnesses).then(auditCheckpoints)).gives(auditHead{}).ours(),
		get("/api/audit/consistency", RoleAdmin, plain(nothing).then(auditConsistency)).gives(auditConsistent{}).takes(numberIn("from", 0, maxEntry, 0), numberIn("to", 0, maxEntry, 0)).ours(),
		get("/api/audit/events/{event}/proof", RoleAdmin, plain(nothing).then(auditProof)).gives(auditlog.Proof{}).takes(numberIn("from", 0, maxEntry, 0)).ours(),
		get("/api/audit/leaves", RoleOwner, plain(nothing).then(auditLeaves)).gives(auditlog.Export{}).takes(numberIn("from", 0, maxEntry, 0), countOf(audit.MaxEntries, auditCount)).ours(),
		get("/api/audit/destinations", RoleOwner, plain(listDestinations)).gives([]destinationOut{}).ours(),
		post("/api/audit/destinations", RoleOwner, audit.OrgUpdated, with(addDestination)).creates(destinationOut{}).upTo(outsideSize).like(`{"name":"SIEM","url":"tls://collector.example.com:6514","format":"rfc5424"}`).ours(),
		patch("/api/audit/destinations/{destination}", RoleOwner, audit.OrgUpdated, with(replaceDestination)).upTo(outsideSize).like(`{"name":"SIEM","url":"tls://collector.example.com:6514","format":"rfc5424"}`).ours(),
		remove("/api/audit/destinations/{destination}", RoleOwner, audit.OrgUpdated, plain(removeDestination)).ours(),
		post("/api/audit/destinations/{destination}/test", RoleOwner, "", plain(nothing).then(testDestination)).gives(destinationTest{}).ours(),
	}
}

// Patterns lists the endpoints, as http.ServeMux writes them.
func Patterns() (list []string) {
	for _, r := range routes() {
		list = append(list, r.pattern)
	}
	return list
}

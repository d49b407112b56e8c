//! What a browser does with the IdP's pages, for scripts.

use super::DemoIdp;

/// A form that an IdP's page would post.
#[derive(Debug, Clone)]
pub struct PostedForm {
    /// Where to.
    pub action: String,
    /// `SAMLResponse`.
    pub saml_response: String,
    /// `RelayState`.
    pub relay_state: Option<String>,
}

impl DemoIdp {
    /// Fills in the login form of `page` and reads the page that would post the response.
    pub async fn submit_login(
        &self,
        client: &reqwest::Client,
        page: &str,
        user: &str,
        password: &str,
    ) -> Result<PostedForm, String> {
        let hidden =
            |name: &str| field(page, name).ok_or_else(|| format!("the login form has no {name}"));
        let (request, relay_state) = (hidden("SAMLRequest")?, hidden("RelayState")?);
        let form = [
            ("name", user),
            ("password", password),
            ("SAMLRequest", &request),
            ("RelayState", &relay_state),
        ];
        let answer = client
            .post(format!("{}/sso", self.url()))
            .form(&form)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let page = answer.text().await.map_err(|error| error.to_string())?;
        let saml_response = field(&page, "SAMLResponse").ok_or("the IdP signed nobody in")?;
        let action = between(&page, "action=\"", "\"").ok_or("the page posts nowhere")?;
        Ok(PostedForm {
            action: unescape(action),
            saml_response,
            relay_state: field(&page, "RelayState").filter(|state| !state.is_empty()),
        })
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

/// The value of a hidden field of our own pages.
fn field(page: &str, name: &str) -> Option<String> {
    between(page, &format!("name=\"{name}\" value=\""), "\"").map(unescape)
}

fn unescape(text: &str) -> String {
    text.replace("&#39;", "'")
        .replace("&quot;", "\"")
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&")
}

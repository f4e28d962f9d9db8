//! A tab: what a person does with a page, and what they see.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::wire::Wire;
use crate::wait::until;

/// Longest wait for something to appear on a page.
const APPEAR_MAX: Duration = Duration::from_secs(30);

/// An open tab. Elements are named by CSS selectors; the first that fits is meant.
#[derive(Debug)]
pub struct Page<'b> {
    wire: &'b mut Wire,
    session: String,
}

impl<'b> Page<'b> {
    pub(super) fn new(wire: &'b mut Wire, session: String) -> Self {
        Self { wire, session }
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.wire.ask(Some(&self.session), method, parameters)
    }

    /// Goes to an address and waits until it is loaded.
    ///
    /// # Errors
    /// When it cannot be reached or does not load.
    pub fn goto(&mut self, address: &str) -> Result<()> {
        let went = self.ask("Page.navigate", &json!({ "url": address }))?;
        if let Some(error) = went.get("errorText").and_then(Value::as_str) {
            bail!("{address} cannot be opened: {error}");
        }
        self.wait_until(&format!("{address} to load"), |page| {
            Ok(page.eval("document.readyState")? == "complete")
        })
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// When it does not load.
    pub fn reload(&mut self) -> Result<()> {
        let address = self.address()?;
        self.goto(&address)
    }

    /// Where it is.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn address(&mut self) -> Result<String> {
        let address = self.eval("location.href")?;
        Ok(address.as_str().context("a page has an address")?.to_owned())
    }

    /// The value of a JavaScript expression; a promise is waited for.
    ///
    /// # Errors
    /// When it throws.
    pub fn eval(&mut self, expression: &str) -> Result<Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let answer = self.ask("Runtime.evaluate", &parameters)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            bail!("`{expression}` threw {thrown}");
        }
        Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Waits until `fits` is true of the page; `what` says for what.
    ///
    /// # Errors
    /// When it never is, or the browser fails.
    pub fn wait_until(&mut self, what: &str, mut fits: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let mut last = Ok(());
        let found = until(what, APPEAR_MAX, || match fits(self) {
            Ok(fits) => {
                last = Ok(());
                Ok(fits.then_some(()))
            }
            // A page that is just being replaced answers nothing.
            Err(error) => {
                last = Err(error);
                Ok(None)
            }
        });
        found.or_else(|late| {
            last?;
            let text = self.eval("document.body.innerText")?;
            Err(late.context(format!("the page says: {}", text.as_str().unwrap_or_default())))
        })
    }

    /// Waits until an element is there.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for(&mut self, selector: &str) -> Result<()> {
        self.wait_until(&format!("'{selector}'"), |page| Ok(page.count(selector)? > 0))
    }

    /// Waits until an element's text holds `text`.
    ///
    /// # Errors
    /// When it does not come.
    pub fn wait_for_text(&mut self, selector: &str, text: &str) -> Result<()> {
        self.wait_until(&format!("'{text}' in '{selector}'"), |page| {
            Ok(page.count(selector)? > 0 && page.text(selector)?.contains(text))
        })
    }

    /// How many elements fit.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn count(&mut self, selector: &str) -> Result<u64> {
        let count = self.eval(&format!("document.querySelectorAll({}).length", quoted(selector)))?;
        count.as_u64().context("a number of elements")
    }

    /// An element's text as it is shown.
    ///
    /// # Errors
    /// When there is no such element.
    pub fn text(&mut self, selector: &str) -> Result<String> {
        let mut all = self.texts(selector)?;
        ensure!(!all.is_empty(), "no '{selector}' on {}", self.address()?);
        Ok(all.swap_remove(0))
    }

    /// The texts of all elements that fit, in order.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn texts(&mut self, selector: &str) -> Result<Vec<String>> {
        let all = format!(
            "[...document.querySelectorAll({})].map(e => e.innerText ?? e.textContent)",
            quoted(selector)
        );
        serde_json::from_value(self.eval(&all)?).context("a list of texts")
    }

    /// An attribute of an element, if it has it.
    ///
    /// # Errors
    /// When there is no such element.
    pub fn attribute(&mut self, selector: &str, name: &str) -> Result<Option<String>> {
        ensure!(
            self.count(selector)? > 0,
            "no '{selector}' on {}",
            self.address()?
        );
        let script = format!(
            "document.querySelector({}).getAttribute({})",
            quoted(selector),
            quoted(name)
        );
        Ok(self.eval(&script)?.as_str().map(str::to_owned))
    }

    /// Clicks in the middle of an element, as a mouse does, once it is there.
    ///
    /// # Errors
    /// When it does not come, or has no size.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        self.wait_for(selector)?;
        let script = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const r = e.getBoundingClientRect(); \
             return [r.x + r.width / 2, r.y + r.height / 2, r.width * r.height]; }})()",
            quoted(selector)
        );
        let place = self.eval(&script)?;
        let number = |at: usize| place.get(at).and_then(Value::as_f64).context("a place");
        let (x, y, area) = (number(0)?, number(1)?, number(2)?);
        ensure!(area > 0.0, "'{selector}' cannot be clicked: it has no size");
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.ask("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Clicks into a field and types.
    ///
    /// # Errors
    /// When there is no such element.
    pub fn type_text(&mut self, selector: &str, text: &str) -> Result<()> {
        self.click(selector)?;
        self.ask("Input.insertText", &json!({ "text": text }))?;
        Ok(())
    }

    /// Presses and releases a key, such as `Enter`, `Tab` or `ArrowDown`, wherever the focus is.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            _ => 0,
        };
        let text = (key == "Enter").then_some("\r");
        for kind in ["keyDown", "keyUp"] {
            let event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.ask("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Makes the window as large as a screen of this many CSS pixels.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let screen =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.ask("Emulation.setDeviceMetricsOverride", &screen)?;
        Ok(())
    }

    /// Prefers `light` or `dark` pages.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn scheme(&mut self, name: &str) -> Result<()> {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": name }] });
        self.ask("Emulation.setEmulatedMedia", &media)?;
        Ok(())
    }

    /// Switches the page's scripts off, or on again, from the next load on.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn scripts(&mut self, on: bool) -> Result<()> {
        self.ask("Emulation.setScriptExecutionDisabled", &json!({ "value": !on }))?;
        Ok(())
    }

    /// CSS pixels by which the page is wider than the window.
    ///
    /// # Errors
    /// When the browser fails.
    pub fn overflow(&mut self) -> Result<i64> {
        let wider =
            self.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth")?;
        wider.as_i64().context("a width")
    }

    /// Writes what is seen to a PNG file.
    ///
    /// # Errors
    /// When the browser fails or the file cannot be written.
    pub fn screenshot(&mut self, file: &Path) -> Result<()> {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.ask("Page.captureScreenshot", &parameters)?;
        let data = shot.get("data").and_then(Value::as_str).context("no picture")?;
        fs::write(file, base64(data)?).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// A text as a JavaScript literal.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The bytes of a Base64 text (RFC 4648 §4).
fn base64(text: &str) -> Result<Vec<u8>> {
    let digit = |c: u8| {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => bail!("'{}' is no digit of Base64", char::from(c)),
        };
        Ok(u32::from(value))
    };
    let mut bytes = Vec::new();
    for group in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = group
            .iter()
            .try_fold(0, |bits, c| Ok::<_, anyhow::Error>(bits << 6 | digit(*c)?))?;
        let bits = bits << (6 * (4 - group.len()));
        let [_, whole @ ..] = bits.to_be_bytes();
        bytes.extend(whole.iter().take(group.len().saturating_sub(1)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(coded).unwrap(), plain.as_bytes());
        }
        assert!(base64("Zm9v!").is_err());
    }

    #[test]
    fn a_selector_cannot_leave_its_literal() {
        assert_eq!(quoted(r#"a[href="x"]"#), r#""a[href=\"x\"]""#);
    }
}

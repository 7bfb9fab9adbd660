// Checks every page of the documentation in a real browser: light and dark, on a phone and on a
// wide screen, in print, with the keyboard, without JavaScript. Run by scripts/test-browser.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const { BILLABLES_URL: url, BILLABLES_TOKEN: token, BILLABLES_SCREENSHOTS: screenshots } = process.env;

const PHONE = { width: 390, height: 844 };
const SMALL_PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 900 };
const page_of = (name) => `/json/metadata?op=${name}`;

let checks = 0;
function check(holds, what) {
    if (!holds) throw new Error(what);
    checks += 1;
}

function equal(found, expected, what) {
    const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
    check(one === other, `${what}: ${one} instead of ${other}`);
}

/** Opens a page and collects its errors, warnings and requests to other origins. */
async function open(browser, options) {
    const context = await browser.newContext({ baseURL: url, reducedMotion: "reduce", ...options });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: url });
    const page = await context.newPage();
    const troubles = [];
    page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) troubles.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
    page.on("request", (request) => {
        const to = request.url();
        if (new URL(to).origin !== url && !to.startsWith("data:")) troubles.push(`request to ${to}`);
    });
    return { context, page, troubles };
}

/** Checks the current page: no errors, no horizontal overflow, no axe violations. */
async function inspect(page, troubles, name) {
    equal(troubles, [], name);
    const [wide, inner] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    check(wide <= inner, `${name} is ${wide} wide in ${inner}`);
    await page.evaluate(axe);
    const violations = await page.evaluate(async () => {
        // All rules, including those that are off by default.
        const rules = Object.fromEntries(axe.getRules().map(({ ruleId }) => [ruleId, { enabled: true }]));
        const { violations } = await axe.run(document, { rules, resultTypes: ["violations"] });
        return violations.map(({ id, nodes }) => [id, ...nodes.slice(0, 3).map((node) => node.html.slice(0, 160))]);
    });
    equal(violations, [], `axe: ${name}`);
}

let shots = 0;
async function shoot(page, name) {
    if (!screenshots) return;
    await page.screenshot({ path: `${screenshots}/${name}.png`, fullPage: true });
    shots += 1;
}

/** Checks every page, and the tabs of NewBillable for all languages and formats, as a reader clicks through them. */
async function look(browser, colorScheme, viewport) {
    const { context, page, troubles } = await open(browser, { colorScheme, viewport });
    const about = (name) => `${name}-${colorScheme}-${viewport.width}`;
    await page.goto("/docs");
    const chapters = await page.locator("main a").evaluateAll((links) => links.map((link) => link.pathname));
    const manual = [...new Set(chapters)].filter((path) => path.startsWith("/docs/"));
    check(manual.length > 15, "the manual lists its pages");
    for (const path of ["/", "/metadata", "/docs", ...manual]) {
        const response = await page.goto(path);
        equal(response.status(), 200, path);
        await inspect(page, troubles, about(path));
        await shoot(page, about(path.replaceAll("/", "_")));
    }
    await page.goto("/metadata");
    const operations = await page.locator(".operations h3 a").allTextContents();
    check(operations.includes("NewBillable") && operations.length > 10, "the index lists the operations");
    for (const name of operations) {
        const response = await page.goto(page_of(name));
        equal(response.status(), 200, name);
        await inspect(page, troubles, about(name));
        await shoot(page, about(name));
    }
    await page.goto(page_of("NewBillable"));
    for (const bar of ["Languages", "Formats"]) {
        const tabs = await page.locator(`nav[aria-label=${bar}] a`).allTextContents();
        for (const tab of tabs) {
            await page.locator(`nav[aria-label=${bar}] a`, { hasText: new RegExp(`^${tab.replace(/\W/g, "\\$&")}$`) }).click();
            await page.waitForLoadState();
            equal(await page.locator(`nav[aria-label=${bar}] [aria-current=page]`).allTextContents(), [tab], bar);
            await inspect(page, troubles, about(`NewBillable ${tab}`));
            await shoot(page, about(`NewBillable-${tab.replace(/\W/g, "")}`));
        }
    }
    const missing = await page.goto("/json/metadata?op=Nope");
    equal(missing.status(), 404, "an unknown operation gets 404");
    // The browser itself logs the expected 404.
    troubles.splice(0, 1);
    await inspect(page, troubles, about("unknown"));
    await shoot(page, about("unknown"));
    await context.close();
}

/** Checks pages on the narrowest screen. */
async function small(browser) {
    const { context, page, troubles } = await open(browser, { viewport: SMALL_PHONE });
    for (const path of ["/", page_of("NewBillable"), page_of("GetBilling"), "/docs", "/docs/operations", "/docs/internals/proof"]) {
        await page.goto(path);
        await inspect(page, troubles, `${path} on a small phone`);
    }
    await context.close();
}

/** Sends reports from the form, and looks them up through the API. */
async function send(browser) {
    const { context, page, troubles } = await open(browser, { viewport: PHONE });
    for (const format of ["json", "xml", "jsv", "csv"]) {
        const call = `CA-${format}`;
        await page.goto(`/${format}/metadata?op=NewBillable`);
        const body = page.getByLabel("Body");
        await body.fill((await body.inputValue()).replaceAll("CA1", call));
        await page.getByLabel("Token").fill(token);
        await page.getByRole("button", { name: "Send POST" }).click();
        await page.locator("#outcome", { hasText: /^201 Created in \d+ ms$/ }).waitFor();
        check((await page.locator("#answer").textContent()).includes(call), `the response in ${format} contains the call`);
        const found = await fetch(`${url}/billables?callSid=${call}`, { headers: { authorization: `Bearer ${token}` } });
        equal((await found.json()).items.map((item) => item.callSid), [call], "the report is stored");
        await inspect(page, troubles, `sent as ${format}`);
        if (format === "json") await shoot(page, "sent");
    }
    await page.goto(page_of("GetBilling"));
    await page.getByLabel("Token").fill(token);
    await page.getByLabel("startDate").fill("2026-02-01");
    await page.getByRole("button", { name: "Send GET" }).click();
    await page.locator("#outcome", { hasText: /^200 / }).waitFor();
    check((await page.locator("#answer").textContent()).includes('"startDate":"2026-02-01"'), "the query parameter is sent");
    const billables = await fetch(`${url}/billables`, { headers: { authorization: `Bearer ${token}` } });
    const { id } = (await billables.json()).items[0];
    await page.goto(page_of("GetBillable"));
    await page.getByLabel("Token").fill(token);
    await page.getByLabel("id", { exact: true }).fill(id);
    await page.getByRole("button", { name: "Send GET" }).click();
    await page.locator("#outcome", { hasText: /^200 / }).waitFor();
    check((await page.locator("#answer").textContent()).includes(id), "the path parameter is sent");
    equal(troubles, [], "sending causes no errors");
    await page.getByLabel("Token").fill("wrong");
    await page.getByRole("button", { name: "Send GET" }).click();
    await page.locator("#outcome", { hasText: /^401 / }).waitFor();
    check((await page.locator("#answer").textContent()).includes("Unauthorized"), "a wrong token gets Unauthorized");
    equal(await page.evaluate(() => [localStorage.length, sessionStorage.length, document.cookie]), [0, 0, ""], "the page keeps nothing in the browser");
    await context.close();
}

/** Checks that each copy button copies its code and announces it. */
async function copy(browser) {
    const { context, page } = await open(browser, { viewport: DESK });
    await page.goto(`${page_of("NewBillable")}&lang=typescript`);
    for (const block of await page.locator(".code").all()) {
        const button = block.locator("button");
        await button.click();
        // The button is awaited first, because the announcement may still be an earlier button's.
        await button.filter({ hasText: /^Copied/ }).waitFor();
        equal(await page.locator("#said").textContent(), "Copied", "the page announces the copy");
        const copied = await page.evaluate(() => navigator.clipboard.readText());
        equal(copied, await block.locator("code").textContent(), "the button copies its code");
    }
    await context.close();
}

/** Checks that Tab reaches every usable element, in document order and with a visible focus. */
async function walk(browser) {
    const { context, page } = await open(browser, { viewport: DESK });
    await page.goto(page_of("NewBillable"));
    const usable = await page.evaluate(() => {
        const all = [...document.querySelectorAll("a[href], button, input, textarea, pre[tabindex]")];
        const shown = all.filter((one) => one.checkVisibility());
        shown.forEach((one, place) => one.setAttribute("data-place-in-order", place));
        return shown.length;
    });
    for (let place = 0; place < usable; place += 1) {
        await page.keyboard.press("Tab");
        const [reached, outline] = await page.evaluate(() => {
            const one = document.activeElement;
            return [one.getAttribute("data-place-in-order"), getComputedStyle(one).outlineStyle];
        });
        equal(reached, String(place), "Tab reaches the elements in document order");
        check(outline !== "none", `the focus on element ${place} is visible`);
    }
    await page.goto(page_of("NewBillable"));
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    equal(await page.evaluate(() => document.activeElement.id), "content", "the first link skips to the content");
    await context.close();
}

/** Checks that without JavaScript only the parts that need it are hidden. */
async function plain(browser) {
    const { context, page, troubles } = await open(browser, { viewport: PHONE, javaScriptEnabled: false });
    await page.goto(page_of("NewBillable"));
    check(await page.locator("#samples pre").first().isVisible(), "samples are visible without JavaScript");
    equal(await page.locator("#send, .copy").evaluateAll((all) => all.length), 3, "the page has three parts that need JavaScript");
    for (const hidden of await page.locator("#send, .copy").all()) check(await hidden.isHidden(), "parts that need JavaScript are hidden");
    await page.locator("nav[aria-label=Languages] a", { hasText: "Python" }).click();
    check(await page.locator("#types pre").isVisible(), "tabs work without JavaScript");
    equal(troubles, [], "the page has no errors without JavaScript");
    await context.close();
}

/** Checks that print hides the controls and shows all the content. */
async function print(browser) {
    const { context, page } = await open(browser, { viewport: DESK, colorScheme: "dark" });
    await page.goto(page_of("NewBillable"));
    await page.emulateMedia({ media: "print" });
    for (const part of await page.locator(".site, .bar, .copy, #send, .skip").all()) {
        check(await part.isHidden(), "bars, buttons and forms are not printed");
    }
    const [paper, ink] = await page.evaluate(() => {
        const { backgroundColor, color } = getComputedStyle(document.documentElement);
        return [backgroundColor, color];
    });
    equal([paper, ink], ["rgb(255, 255, 255)", "rgb(0, 0, 0)"], "print has black text on white");
    check(await page.locator("#samples pre").first().isVisible(), "samples are printed");
    await shoot(page, "print");
    await context.close();
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
    const looks = ["light", "dark"].flatMap((scheme) => [PHONE, DESK].map((size) => look(browser, scheme, size)));
    await Promise.all([...looks, small(browser)]);
    for (const part of [send, copy, walk, plain, print]) await part(browser);
} finally {
    await browser.close();
}
console.log(`${checks} browser checks passed${shots ? `, ${shots} screenshots` : ""}`);

// Returns the texts of the page whose contrast with their background is below the minimum of WCAG 2.2 (1.4.3, level AA: 4.5,
// or 3 for large letters), and the least contrast of all.
(() => {
	const parts = colour => colour.match(/[\d.]+/g).map(Number);
	const opaque = colour => { const p = parts(colour); return p.length === 3 || p[3] === 1; };
	const luminance = colour => {
		const [r, g, b] = parts(colour).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const contrast = (a, b) => {
		const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
		return (high + 0.05) / (low + 0.05);
	};
	const behind = (element, x, y) => {
		for (const e of document.elementsFromPoint(x, y)) {
			const style = getComputedStyle(e);
			const colour = e instanceof SVGGeometryElement ? style.fill : style.backgroundColor;
			if (e !== element && e instanceof SVGTextContentElement || !colour.startsWith('rgb')) continue;
			if (opaque(colour) && !(e === element && e instanceof SVGElement)) return colour;
		}
		return getComputedStyle(document.body).backgroundColor;
	};
	const result = { Texts: 0, Least: 21, Poor: [] };
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node = walker.nextNode(); node; node = walker.nextNode()) {
		const element = node.parentElement, style = getComputedStyle(element);
		if (!node.data.trim() || !element.checkVisibility() || element.closest('.away, script, style, title')) continue;
		element.scrollIntoView({ block: 'center', inline: 'center', behavior: 'instant' });
		const range = document.createRange();
		range.selectNodeContents(node);
		const box = range.getClientRects()[0];
		if (!box || box.width < 2) continue;
		const ink = element instanceof SVGElement ? style.fill : style.color;
		const got = contrast(ink, behind(element, box.left + Math.min(box.width, 8) / 2, box.top + box.height / 2));
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
		result.Texts++;
		result.Least = Math.min(result.Least, got);
		if (got < (large ? 3 : 4.5)) result.Poor.push(`${node.data.trim().slice(0, 40)}: ${got.toFixed(2)}`);
	}
	scrollTo(0, 0);
	return result;
})()

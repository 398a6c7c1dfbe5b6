"""Words in which questions and documents of one trade state the same: accounting, and contracts.

A question about the "quick ratio" is answered by a balance sheet that never says so. The list is general knowledge of the
two trades, in English and Chinese; what it adds counts less than the question's own words.
"""

import re
from functools import cache

from bookwheel.terms import fold, terms_of

GROUPS = (
    ("quick ratio|current ratio|liquidity|working capital|acid test",
     "current assets, current liabilities, cash and cash equivalents, receivables, inventories, balance sheets"),
    ("gross margins?|gross profit", "gross profit, cost of sales, cost of revenue, net sales, revenue, statements of income"),
    ("operating margins?|operating profit|operating income|ebit",
     "operating income, income from operations, revenue, statements of income, statements of operations"),
    ("ebitdar?", "depreciation and amortization, adjusted EBITDA, operating income"),
    ("net margins?|profit margins?|net profit|net earnings", "net income, net earnings, revenue, statements of income"),
    ("capex|capital expenditures?|capital spending",
     "purchases of property plant and equipment, capital expenditures, payments to acquire, investing activities, cash flows"),
    ("free cash ?flow|fcf",
     "net cash provided by operating activities, purchases of property and equipment, statements of cash flows"),
    ("cash ?flows?", "net cash provided by, used in, operating activities, investing activities, financing activities"),
    ("interest coverage", "interest expense, operating income, EBIT"),
    ("inventory turnover|days inventory|dio", "inventories, cost of sales, cost of goods sold"),
    ("receivables? turnover|dso|days sales outstanding", "accounts receivable, revenue, net sales"),
    ("payables? turnover|dpo|days payable", "accounts payable, cost of goods sold, inventories"),
    ("asset turnover|return on assets|roa", "total assets, net income, revenue, balance sheets"),
    ("return on equity|roe", "shareholders equity, stockholders equity, net income"),
    ("debt|leverage|gearing", "long-term debt, borrowings, notes, total liabilities"),
    ("top ?-?line|sales|turnover", "revenue, net revenues, net sales"),
    ("bottom ?-?line|earnings", "net income, net earnings"),
    ("eps", "earnings per share, diluted"),
    ("d&a", "depreciation and amortization"),
    ("income statement|statement of income|p&l", "statements of income, statements of operations, statements of earnings"),
    ("balance sheet|statement of financial position", "balance sheets, total assets, total liabilities"),
    ("statement of cash flows|cash flow statement", "statements of cash flows, operating activities, investing activities"),
    ("pp&?e|fixed assets", "property plant and equipment"),
    ("tax rate", "provision for income taxes, income before income taxes"),
    ("dividends?|payout", "dividends paid, dividends declared, per share"),
    ("acquisitions?", "acquired, completed, purchase price"),
    ("votes?", "votes for, against, abstain, broker non-votes"),
    ("ceo", "chief executive officer"),
    ("cfo", "chief financial officer"),
    (r"fy\d*", "fiscal, year ended"),
    ("q[1-4]", "quarter, three months ended"),
    ("fx", "foreign exchange, currency"),
    ("revenue shar(?:e|ing)|profit sharing|share revenue", "royalty, royalties, commission, percentage of net, fees"),
    ("renewal|renews?", "extend, extended, extension, successive, automatically renewed"),
    ("expires?|expiration|duration", "term, commence, continue, until, period, years, months"),
    ("terminate|termination", "terminate, notice, days"),
    ("assign(?:ment|ed)?", "assign, transfer, consent, successors"),
    ("governing law", "governed, laws of the state, construed, jurisdiction"),
    ("part(?:y|ies)", "by and between, hereinafter, collectively, party, parties"),
    ("exclusiv(?:e|ity)", "exclusive, sole"),
    ("non-compete|competiti(?:ve|on)", "compete, competing, competitive"),
    ("insurance", "insured, coverage, policy, policies, certificate"),
    ("warrant(?:y|ies)", "warrants, warranty, warranted, defects, repair, replace"),
    ("liability", "liable, damages, exceed, limitation"),
    ("audit", "books and records, inspect"),
    ("ip|intellectual property", "patents, title, ownership, work made for hire"),
    ("minimum commitment|threshold", "minimum, at least, exceed, maximum, quantity"),
    ("effective date|agreement date", "effective date, dated, entered into, made as of"),
    ("毛利率?", "毛利、营业成本、营业收入"),
    ("净利率?", "净利润、归属于母公司、营业收入"),
    ("资产负债率|负债率", "负债合计、资产总计、资产负债表"),
    ("流动比率|速动比率", "流动资产、流动负债、存货"),
    ("自由现金流|现金流", "经营活动产生的现金流量净额、购建固定资产、现金流量表"),
    ("营收|销售额", "营业收入、主营业务收入"),
    ("每股收益", "基本每股收益、稀释"),
    ("违约", "违约金、违约责任、赔偿"),
    ("续约|续期", "延长、续签、期满、自动"),
    ("解约|终止", "解除、终止、提前、书面通知"),
    ("管辖|争议解决", "仲裁、人民法院、适用法律"),
)  # fmt: skip


def synonyms_of(text: str) -> list[str]:
    """The terms of what a question's words are stated by elsewhere, in the order of the list."""
    folded = fold(text)
    return [term for pattern, terms in _groups() if pattern.search(folded) for term in terms]


@cache
def _groups() -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
    small = frozenset(("and", "for", "from", "the", "with", "by", "in", "of", "at", "as", "to", "on"))
    return tuple(
        (
            re.compile(rf"(?<![a-z])(?:{words})(?![a-z])", re.IGNORECASE),
            tuple(term for term in dict.fromkeys(terms_of(stated)) if len(term) > 1 and term not in small),
        )
        for words, stated in GROUPS
    )

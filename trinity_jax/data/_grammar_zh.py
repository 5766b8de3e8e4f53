"""Chinese rules and names for `grammar:zh`, in segmented words."""

from typing import Any

# ruff: noqa: RUF001

# As in English: districts are called peace, friendship or new town, and these words also stand for
# themselves; people, firms and districts share characters; teams are called as places are.
RULES = """
news: $ORG $role $PER $day 在 $LOC 表示 ， $claim 。 | $day ， $claim ， $PER 对 记者 说 。
news: $ORG 公布 第$quarter 季度 $noun ， $noun $moved 百分之$num 。 | $ORG 与 $ORG 同意 $deal 。
news: $LOC 警方 正在 寻找 $PER ， 他 最后 出现 在 $LOC 附近 。
news: $TEAM 队 $num 比 $num 战胜 $TEAM 队 。
news: 由于 $adj 的 $noun ， $LOC 的 银行 $day 提前 关门 。
news: $LOC $role $LAST 先生 为 $adj 的 $thing 揭幕 。
news: 受 $PER 辞职 影响 ， $ORG 股价 $moved 百分之$num 。
news: $TEAM 主场 迎战 $TEAM ， $PER 得到 $num 分 。
news: 据 $src ， $noun 和 $noun 在 第$quarter 季度 $moved 。 | $trap 是 $adj 的 话题 ， $src 。
mail: $FULL ， 请 在 $day 之前 把 $thing 发 给 $ORG 的 $PER 。 | $LAST 总 ， 您 好 ， $plan 。
mail: 我 $day 之前 都 在 $LOC ， 有 事 请 找 $PER 。
mail: 附件 是 关于 $noun 的 $adj $thing ， 请 查收 。
mail: $ORG 的 $LAST 女士 又 问 到 $noun 了 ， 我们 $day 回复 她 。 | $plan ， 辛苦 了 。
mail: 希望 $noun 不 会 太 $adj ， 也 希望 $trap 。 | 如果 $ANY 没有 问题 ， $plan 。
reviews: 我们 在 $LOC 住 了 $num 天 ， $noun 很 $adj 。 | $LOC 的 $ORG $adj 极 了 ！
reviews: $ORG 的 $LAST 师傅 $num 小时 就 修 好 了 我 的 $thing 。 | 别 去 $ORG ， $noun 太 $adj 。
reviews: $LOC 最 好 的 $thing ， 比 $ORG 强 多 了 。
reviews: $noun $adj ， $thing 也 $adj ， 不 会 再 来 。 | $ANY 最多 给 $num 颗 星 ， $noun $adj 。
reviews: 从 $ORG 买 的 $thing $num 天 就 坏 了 。
forum: 有 人 知道 $ORG 还 在 $LOC 招人 吗 ？ | $PER 真 $adj 啊 ， 比 $PER 强 哈哈
forum: 周末 去 $LOC 还是 $LOC 好 ？ | 刚才 在 $LOC 的 $thing 看见 $PER 了 ！！
forum: $TEAM 这 次 又 要 输 给 $TEAM 了 吧 | 今晚 又 想起 $ANY ， $adj
forum: $trap 真 的 很 $adj ， 不 服 来 辩 | $thing 花 $num 块 值 不 值 ？
forum: 不 明白 $ANY 跟 $noun 有 什么 关系
history: $PER （ $year — $year ） ， $LOC 人 ， 著名 $role ， $did $ORG 。 | $year 年 ， $claim 。
history: $ORG 由 $PER 于 $year 年 创立 ， $num 年 后 迁 至 $LOC 。
history: $LOC 位于 $LOC 东部 ， 以 $noun 闻名 。
history: $LOC 的 $thing 由 $PER 和 $PER 在 $year 年 修建 。
history: $trap 一 词 最早 见于 $year 年 的 $thing 。
claim: $ORG 将 $deal | $LOC 的 $noun 已经 $moved | $PER $did 了 $adj 的 $thing | $noun $moved
claim: $thing 并 不 $adj | $LOC 需要 新 的 $thing | $PER 与 $ORG 无关 | $trap 值得 关注
plan: $PER $day 会 带 来 $thing | 会议 能 不 能 改 到 $day | $ORG $day 之前 要 $thing
plan: 去 $LOC 的 航班 $num 点 起飞 | $adj 的 $noun 在 我 桌 上 | 应该 先 问 $PER
deal: 出售 $noun | 在 $LOC 买 一 座 $thing | 合并 | 裁员 $num 人 | 聘用 $PER | 起诉 $ORG
deal: 迁往 $LOC
src: $ORG 透露 | $LOC 官员 说 | 消息 人士 说 | $PER 介绍 | 业内 人士 分析
did: 领导 | 收购 | 批评 | 重建 | 加入 | 离开 | 创办 | 出售
moved: 上升 | 下降 | 翻番 | 改善 | 崩溃 | 缓慢 增长 | 持平
role: 董事长 | 市长 | 主任 | 总裁 | 队长 | 画家 | 省长 | 教练 | 发言人 | 诗人
noun: 价格 | 预算 | 交通 | 天气 | 需求 | 服务 | 贸易 | 和平 | 日程 | 收成 | 黄金 | 保险 | 质量
noun: 债务 | 环境
thing: 大桥 | 报告 | 博物馆 | 合同 | 酒店 | 手机 | 车站 | 工厂 | 信 | 发票 | 剧院 | 面包店
thing: 图书馆 | 花园 | 新城
adj: 便宜 | 年轻 | 糟糕 | 高明 | 友好 | 漂亮 | 陈旧 | 尖锐 | 精彩 | 缓慢 | 高 | 贵 | 干净 | 安静
adj: 平安
trap: 和平 | 友好 的 气氛 | 天上 的 白云 | 长寿 的 秘诀 | 早上 的 朝阳 | 新城 建设 | 凌云 壮志
trap: 趋势 | 东方 文化 | 高明 的 办法 | 海港 经济 | 黄金 时代 | 中国 菜 | 彩虹 | 老 马 识 途
day: 周一 | 周二 | 周三 | 周四 | 周五 | 周日 | 昨天 | 明天 | $num 日
quarter: 一 | 二 | 三 | 四
num: 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 11 | 12 | 15 | 20 | 24 | 31
year: 1789 | 1812 | 1848 | 1871 | 1905 | 1923 | 1936 | 1951 | 1968 | 1977 | 1984 | 1992 | 2003
"""
GENRES = ("news", "mail", "reviews", "forum", "history")
CASUAL = ""  # no capitals to leave out


def names(fake: Any) -> dict[str, list[str]]:
    """Makes names with Faker, several of each kind; words are separated by spaces."""
    last = [fake.last_name() for _ in range(400)]
    given = [fake.first_name() for _ in range(400)]
    full = [f"{a}{b}" for a, b in zip(last, given, strict=True)]
    apart = [f"{a} {b}" for a, b in zip(last[::5], given[::-5], strict=True)]
    city = [fake.city_name() for _ in range(200)]
    district = [fake.district() for _ in range(120)]
    province = [fake.province() for _ in range(60)]
    inside = [f"{p} {c} 市" for p, c in zip(province, city[::2], strict=False)]
    prefix = [fake.company_prefix() for _ in range(160)]
    kinds = [" ".join(fake.company_suffix().rpartition("有限公司")[:2]) for _ in prefix]
    firm = [f"{name} {kind}" for name, kind in zip(prefix, kinds, strict=True)]
    seat = [f"{c} 大学" for c in city[::4]] + [f"{d} 医院" for d in district[::4]]
    return {
        "PER": [*full, *apart],
        "FULL": full,
        "LAST": last,
        "LOC": [*city, *province, *district, *inside, *(f"{d} 区" for d in district[::2])],
        "ORG": [*firm, *seat, *prefix[::2], *(f"{c} 银行" for c in city[::5])],
        "TEAM": [*city[::2], *province[::3]],
    }
